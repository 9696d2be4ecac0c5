// What is around a pose: its k nearest points, seen from it.

import {
  add,
  concat,
  type Device,
  expand,
  gatherPoints,
  max,
  nearestPoints,
  type RngKey,
  reshape,
  scope,
  slice,
  type Tensor,
  unsqueeze,
  where,
} from '@ditkit/core'
import { Module } from '@ditkit/nn'
import { anyValid, clearPadding } from '../masked'
import { fromFrame, inFrame, offsetsFrom, type PoseFrames } from '../pose-geometry'
import { checkPoints } from './check-points'
import { nearestInEmptySlots } from './nearest'
import { SharedMLP } from './shared-mlp'

export interface LocalConfig {
  /** How many points a pose sees around each of the centres. */
  neighbors: number
  /** Where a pose looks, along its own axes, in the points' unit. Default: where it is. */
  centres?: readonly (readonly [number, number, number])[]
  /** The first three features of a point are its normal, which is then seen in the pose's frame too. Default false. */
  normals?: boolean
  /** Of the layers every neighbour goes through. Default [64, 128]. */
  widths?: readonly number[]
}

/** The maximum over the points nearest to a pose, or to its centres, of their offsets, in the pose's frame, and features → [B, G, width]. */
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
    const { widths = [64, 128], normals = false, centres } = config
    if (centres?.length === 0)
      throw new RangeError(
        'LocalEncoder: centres is empty (expected at least one; leave it out to look from where the pose is)',
      )
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
      const near = nearestPoints(this.centres(frames), positions, this.config.neighbors, { mask })
      const [batch, poses] = frames.positions.shape
      const grouped = reshape(gatherPoints(cleared, nearestInEmptySlots(near)), [batch, poses, -1, this.channels])
      const offsets = inFrame(frames, offsetsFrom(frames, slice(grouped, 3, 0, 3)))
      const seen = this.channels > 3 ? concat([offsets, ...this.features(frames, grouped)], 3) : offsets
      return where(unsqueeze(anyValid(mask), 2), max(this.mlp.forward(seen), 2), 0)
    }, 'LocalEncoder.forward')
  }

  /** [B, G·centres, 3] */
  private centres(frames: PoseFrames): Tensor {
    const { centres } = this.config
    if (!centres) return frames.positions
    const [batch, poses, axes] = frames.positions.shape
    const own = expand(frames.positions.device.tensor(centres.flat(), [1, 1, centres.length, axes]), [
      batch,
      poses,
      centres.length,
      axes,
    ])
    return reshape(add(unsqueeze(frames.positions, 2), fromFrame(frames, own)), [batch, poses * centres.length, axes])
  }

  /** What the points [B, G, K, channels] hold beside their positions. */
  private features(frames: PoseFrames, points: Tensor): Tensor[] {
    if (!this.config.normals) return [slice(points, 3, 3)]
    const normals = inFrame(frames, slice(points, 3, 3, 6))
    return this.channels > 6 ? [normals, slice(points, 3, 6)] : [normals]
  }
}
