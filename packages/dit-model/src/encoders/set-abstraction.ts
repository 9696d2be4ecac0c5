// Set abstraction of PointNet++ (Qi et al. 2017, arXiv:1706.02413), with the mask that goes with its output.

import {
  ballQuery,
  concat,
  type Device,
  farthestPoints,
  gatherPoints,
  max,
  mul,
  nearestPoints,
  type RngKey,
  scope,
  slice,
  sub,
  type Tensor,
  unsqueeze,
} from '@ditkit/core'
import { LayerNorm, Module } from '@ditkit/nn'
import { clearPadding } from '../masked'
import { checkMask, checkPoints } from './check-points'
import { nearestInEmptySlots } from './nearest'
import type { SceneEncoder, SceneTokens } from './scene-tokens'
import { SharedMLP } from './shared-mlp'

/** A cloud on its way through set abstractions. What is padding holds 0. */
export interface PointSet {
  /** [B, P, 3] */
  readonly positions: Tensor
  /** [B, P, C]; absent where points are positions and nothing else. */
  readonly features?: Tensor
  /** bool [B, P]: true takes part. */
  readonly mask: Tensor
}

export interface SetAbstractionLevel {
  /** How many centres are taken, each a token of the level. */
  points: number
  /** How many neighbours a centre sees, at most. */
  neighbors: number
  /** The nearest neighbours within this distance only, whose offsets are then in units of it. Default: the nearest, however far. */
  radius?: number
  /** Of the layers every neighbour goes through. */
  widths: readonly number[]
}

/**
 * `level.points` centres by farthest point sampling, each with the maximum over its neighbours' features and offsets. Where a
 * cloud has fewer valid points than that, the mask that comes out says so.
 */
export class SetAbstraction extends Module {
  readonly mlp: SharedMLP
  readonly norm: LayerNorm
  readonly width: number

  /** `channels`: width of the features that come in, 0 for none. */
  constructor(
    device: Device,
    key: RngKey,
    channels: number,
    readonly level: SetAbstractionLevel,
  ) {
    super()
    this.width = level.widths[level.widths.length - 1]
    this.mlp = new SharedMLP(device, key, 3 + channels, level.widths)
    this.norm = new LayerNorm(device, this.width)
  }

  forward(set: PointSet): PointSet & { readonly features: Tensor } {
    const { level } = this
    checkMask('SetAbstraction', 'the mask', set.mask, set.positions.shape.slice(0, 2))
    return scope(() => {
      const all = clearPadding(set.positions, set.mask)
      const { indices, mask } = farthestPoints(all, level.points, { mask: set.mask })
      const positions = clearPadding(gatherPoints(all, indices), mask)
      const options = { mask: set.mask, queryMask: mask }
      const near =
        level.radius === undefined
          ? nearestPoints(positions, all, level.neighbors, options)
          : ballQuery(positions, all, level.radius, level.neighbors, options)
      const seen = nearestInEmptySlots(near)
      const offsets = sub(gatherPoints(all, seen), unsqueeze(positions, 2))
      const relative = level.radius === undefined ? offsets : mul(offsets, 1 / level.radius)
      const grouped = set.features
        ? concat([relative, gatherPoints(clearPadding(set.features, set.mask), seen)], 3)
        : relative
      const pooled = max(this.mlp.forward(grouped), 2)
      return { positions, features: clearPadding(this.norm.forward(pooled), mask), mask }
    }, 'SetAbstraction.forward')
  }
}

export interface SetAbstractionConfig {
  type: 'set-abstraction'
  /** Numbers of a point: x, y, z and then its features. */
  channels: number
  levels: readonly SetAbstractionLevel[]
}

/** points [B, P, channels] → the centres of the last level [B, N, width], with their positions and mask. */
export class SetAbstractionEncoder extends Module implements SceneEncoder {
  readonly levels: readonly SetAbstraction[]
  readonly channels: number
  readonly width: number
  readonly located = true

  /** @throws RangeError without a level. */
  constructor(device: Device, key: RngKey, config: Omit<SetAbstractionConfig, 'type'>) {
    super()
    const { channels, levels } = config
    if (levels.length === 0) throw new RangeError('SetAbstractionEncoder: levels is empty (expected at least one)')
    const widths = [channels - 3, ...levels.map(level => level.widths[level.widths.length - 1])]
    this.channels = channels
    this.levels = levels.map((level, i) => new SetAbstraction(device, key.foldIn(i), widths[i], level))
    this.width = widths[levels.length]
  }

  forward(points: Tensor, mask: Tensor): SceneTokens {
    checkPoints('SetAbstractionEncoder', points, mask, this.channels)
    return scope(() => {
      const features = this.channels > 3 ? slice(points, 2, 3) : undefined
      const first: PointSet = { positions: slice(points, 2, 0, 3), features, mask }
      const last = this.levels.reduce((set, level) => level.forward(set), first)
      return { tokens: last.features!, mask: last.mask, positions: last.positions }
    }, 'SetAbstractionEncoder.forward')
  }
}
