// Pooling to K latents by cross-attention (Perceiver, Jaegle et al. 2021, arXiv:2103.03206).

import { add, type Device, expand, type RngKey, scope, type Tensor } from '@ditkit/core'
import { LayerNorm, MLP, Module, MultiheadAttention, normalInit, parameter } from '@ditkit/nn'
import { clearPadding } from '../masked'
import { checkMask, checkPoints } from './check-points'
import type { SceneEncoder, SceneTokens } from './scene-tokens'
import { SharedMLP } from './shared-mlp'

/** One look of the latents at the tokens, and an MLP; both residual. */
class PerceiverBlock extends Module {
  readonly norm1: LayerNorm
  readonly attn: MultiheadAttention
  readonly norm2: LayerNorm
  readonly mlp: MLP

  constructor(device: Device, key: RngKey, channels: number, width: number, heads: number) {
    super()
    const [attention, mlp] = key.split(2)
    this.norm1 = new LayerNorm(device, width)
    this.attn = new MultiheadAttention(device, attention, width, heads, { kDim: channels, vDim: channels })
    this.norm2 = new LayerNorm(device, width)
    this.mlp = new MLP(device, mlp, width, 4 * width)
  }

  forward(latents: Tensor, tokens: Tensor, mask: Tensor): Tensor {
    const h = add(latents, this.attn.forward(this.norm1.forward(latents), tokens, tokens, { keyMask: mask }))
    return add(h, this.mlp.forward(this.norm2.forward(h)))
  }
}

/** tokens [B, N, channels] with mask [B, N] → [B, latents, width]. A sample without a token leaves the latents as learned. */
export class PerceiverPool extends Module {
  readonly latents: Tensor
  readonly norm: LayerNorm
  readonly blocks: readonly PerceiverBlock[]
  readonly final_norm: LayerNorm

  /** @throws RangeError unless `heads` divides `width`. */
  constructor(
    device: Device,
    key: RngKey,
    channels: number,
    options: { latents: number; width: number; heads: number; depth: number },
  ) {
    super()
    const { latents, width, heads, depth } = options
    const [latentKey, ...blockKeys] = key.split(1 + depth)
    this.latents = parameter(normalInit({ std: 0.02 })(device, [1, latents, width], latentKey))
    this.norm = new LayerNorm(device, channels)
    this.blocks = blockKeys.map(blockKey => new PerceiverBlock(device, blockKey, channels, width, heads))
    this.final_norm = new LayerNorm(device, width)
  }

  forward(tokens: Tensor, mask: Tensor): Tensor {
    checkMask('PerceiverPool', 'the mask', mask, tokens.shape.slice(0, 2))
    return scope(() => {
      const [, count, width] = this.latents.shape
      const seen = this.norm.forward(clearPadding(tokens, mask))
      const start = expand(this.latents, [tokens.shape[0], count, width])
      return this.final_norm.forward(this.blocks.reduce((h, block) => block.forward(h, seen, mask), start))
    }, 'PerceiverPool.forward')
  }
}

export interface PerceiverConfig {
  type: 'perceiver'
  /** Numbers of a point: x, y, z and then its features. */
  channels: number
  /** Of the layers every point goes through before the latents look at it. Default [64, 128]. */
  widths?: readonly number[]
  /** How many tokens come out. Default 32. */
  latents?: number
  /** Width of a latent. Default 128. */
  width?: number
  /** Default 4. */
  numHeads?: number
  /** How often the latents look. Default 1. */
  depth?: number
}

/** points [B, P, channels] → latents [B, K, width], which are nowhere in particular. */
export class PerceiverEncoder extends Module implements SceneEncoder {
  readonly mlp: SharedMLP
  readonly pool: PerceiverPool
  readonly channels: number
  readonly width: number
  readonly located = false

  /** @throws RangeError unless `numHeads` divides `width`. */
  constructor(device: Device, key: RngKey, config: Omit<PerceiverConfig, 'type'>) {
    super()
    const { channels, widths = [64, 128], latents = 32, width = 128, numHeads: heads = 4, depth = 1 } = config
    const [mlp, pool] = key.split(2)
    this.channels = channels
    this.width = width
    this.mlp = new SharedMLP(device, mlp, channels, widths)
    this.pool = new PerceiverPool(device, pool, widths[widths.length - 1], { latents, width, heads, depth })
  }

  forward(points: Tensor, mask: Tensor): SceneTokens {
    checkPoints('PerceiverEncoder', points, mask, this.channels)
    return scope(() => {
      const tokens = this.pool.forward(this.mlp.forward(clearPadding(points, mask)), mask)
      return { tokens, mask: points.device.full(tokens.shape.slice(0, 2), 1, { dtype: 'bool' }) }
    }, 'PerceiverEncoder.forward')
  }
}
