// What is around a pose: its k nearest points, seen from it.

import {
  concat,
  type Device,
  gatherPoints,
  max,
  nearestPoints,
  type RngKey,
  scope,
  slice,
  type Tensor,
  unsqueeze,
  where,
} from '@ditkit/core'
import { Module } from '@ditkit/nn'
import { anyValid, clearPadding } from '../masked'
import { inFrame, offsetsFrom, type PoseFrames } from '../pose-geometry'
import { checkPoints } from './check-points'
import { nearestInEmptySlots } from './nearest'
import { SharedMLP } from './shared-mlp'

export interface LocalConfig {
  /** How many points a pose sees. */
  neighbors: number
  /** The first three features of a point are its normal, which is then seen in the pose's frame too. Default false. */
  normals?: boolean
  /** Of the layers every neighbour goes through. Default [64, 128]. */
  widths?: readonly number[]
}

/** The maximum over a pose's nearest points of their offsets, in the pose's frame, and features → [B, G, width]. */
export class LocalEncoder extends Module {
  readonly mlp: SharedMLP
  readonly width: number

  /** `channels`: numbers of a point: x, y, z and then its features. */
  constructor(
    device: Device,
    key: RngKey,
    readonly channels: number,
    readonly config: LocalConfig,
  ) {
    super()
    const { widths = [64, 128], normals = false } = config
    if (normals && channels < 6)
      throw new RangeError(`LocalEncoder: normals need points of at least 6 channels, not ${channels}`)
    this.width = widths[widths.length - 1]
    this.mlp = new SharedMLP(device, key, channels, widths)
  }

  /** frames of G poses; points [B, P, channels]; mask bool [B, P]. Without a valid point the result is 0. */
  forward(frames: PoseFrames, points: Tensor, mask: Tensor): Tensor {
    checkPoints('LocalEncoder', points, mask, this.channels)
    return scope(() => {
      const cleared = clearPadding(points, mask)
      const positions = slice(cleared, 2, 0, 3)
      const near = nearestPoints(frames.positions, positions, this.config.neighbors, { mask })
      const grouped = gatherPoints(cleared, nearestInEmptySlots(near))
      const offsets = inFrame(frames, offsetsFrom(frames, slice(grouped, 3, 0, 3)))
      const seen = this.channels > 3 ? concat([offsets, ...this.features(frames, grouped)], 3) : offsets
      return where(unsqueeze(anyValid(mask), 2), max(this.mlp.forward(seen), 2), 0)
    }, 'LocalEncoder.forward')
  }

  /** What the points [B, G, K, channels] hold beside their positions. */
  private features(frames: PoseFrames, points: Tensor): Tensor[] {
    if (!this.config.normals) return [slice(points, 3, 3)]
    const normals = inFrame(frames, slice(points, 3, 3, 6))
    return this.channels > 6 ? [normals, slice(points, 3, 6)] : [normals]
  }
}
