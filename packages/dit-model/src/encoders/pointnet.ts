// PointNet (Qi et al. 2017, arXiv:1612.00593): one token for the whole cloud.

import { type Device, type RngKey, scope, type Tensor, unsqueeze } from '@ditkit/core'
import { LayerNorm, Module } from '@ditkit/nn'
import { anyValid, clearPadding, maskedMax } from '../masked'
import { checkPoints } from './check-points'
import type { SceneEncoder, SceneTokens } from './scene-tokens'
import { SharedMLP } from './shared-mlp'

export interface PointNetConfig {
  type: 'pointnet'
  /** Numbers of a point: x, y, z and then its features. */
  channels: number
  /** Of the layers every point goes through. Default [64, 128, 256]. */
  widths?: readonly number[]
}

/** points [B, P, channels] → one token [B, 1, width], the maximum over the points. */
export class PointNet extends Module implements SceneEncoder {
  readonly mlp: SharedMLP
  readonly norm: LayerNorm
  readonly channels: number
  readonly width: number
  readonly located = false

  constructor(device: Device, key: RngKey, config: Omit<PointNetConfig, 'type'>) {
    super()
    const { channels, widths = [64, 128, 256] } = config
    this.channels = channels
    this.width = widths[widths.length - 1]
    this.mlp = new SharedMLP(device, key, channels, widths)
    this.norm = new LayerNorm(device, this.width)
  }

  forward(points: Tensor, mask: Tensor): SceneTokens {
    checkPoints('PointNet', points, mask, this.channels)
    return scope(() => {
      const h = this.mlp.forward(clearPadding(points, mask))
      return { tokens: unsqueeze(this.norm.forward(maskedMax(h, mask)), 1), mask: anyValid(mask) }
    }, 'PointNet.forward')
  }
}
