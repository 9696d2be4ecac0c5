// The DiT a configuration describes.

import type { Device, RngKey } from '@ditkit/core'
import { DiT } from '@ditkit/dit-model'
import type { Config } from '../config/schema'
import { UserError } from '../errors'

/** What a model draws; recorded with its weights. */
export interface ImageFormat {
  readonly channels: number
  /** Height and width. */
  readonly size: number
  /** Names of the classes; empty for an unconditional model. */
  readonly classes: readonly string[]
}

/** Throws a UserError when the patches do not tile the images. */
export function buildModel(device: Device, key: RngKey, config: Config, format: ImageFormat): DiT {
  const { patch, hidden, layers, heads, mlp_ratio, label_dropout, compute_dtype } = config.model
  if (format.size % patch !== 0) {
    throw new UserError(
      `model.patch is ${patch}, which does not divide the image size ${format.size}; choose model.patch or data.size to fit`,
    )
  }
  return new DiT(device, key, {
    inputSize: format.size,
    patchSize: patch,
    inChannels: format.channels,
    hiddenSize: hidden,
    depth: layers,
    numHeads: heads,
    mlpRatio: mlp_ratio,
    numClasses: format.classes.length,
    classDropout: label_dropout,
    computeDtype: compute_dtype,
    recomputeBlocks: config.train.recompute,
  })
}
