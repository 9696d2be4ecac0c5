// What the blocks of a SceneDiT have in common: branches, each around a norm that the condition may shift, scale and gate
// (adaptive layer norm; Perez et al. 2018, arXiv:1709.07871; adaLN-Zero: Peebles & Xie 2023).

import {
  add,
  type Device,
  type GatedInto,
  modulatedLayerNorm,
  type RngKey,
  reshape,
  silu,
  type Tensor,
} from '@ditkit/core'
import { LayerNorm, Linear, Module, Sequential, zeros } from '@ditkit/nn'
import type { TokenAttentionConfig } from './token-attention'

/**
 * How the condition reaches a block's norms. 'none': not at all, they have learned scales and shifts; 'adaLN': it gives shift and
 * scale; 'adaLN-Zero': and a gate on what the branch adds, 0 at first.
 */
export type Conditioning = 'none' | 'adaLN' | 'adaLN-Zero'

/** What a block needs to know of its model. */
export interface BlockConfig extends TokenAttentionConfig {
  mlpRatio: number
  conditioning: Conditioning
  attentionDropout: number
}

/** What a block reads besides its tokens: of B samples, G poses, N scene and L text tokens, those that its model has. */
export interface BlockInputs {
  /** [B, C]: what the norms are conditioned on. */
  c: Tensor
  /** bool [B, tokens of the block]: which of its own tokens take part. */
  mask?: Tensor
  /** [B, N, C] and bool [B, N] */
  scene?: Tensor
  sceneMask?: Tensor
  /** [B, L, C] and bool [B, L] */
  text?: Tensor
  textMask?: Tensor
  /** [B, G, 3] and [B, G, 3, 3], see `PoseFrames`; [B, N, 3], where the scene's tokens are */
  posePositions?: Tensor
  poseRotations?: Tensor
  scenePositions?: Tensor
  /** [B, G, N, 7], see `relativeGeometry` */
  geometry?: Tensor
  /** [B, G, 1, 5] and [B, N, 1, 5], see `distanceFactors` */
  distanceQuery?: Tensor
  distanceKey?: Tensor
}

/** A block of a SceneDiT: tokens to tokens. `key` draws the dropout of training. */
export interface SceneBlock extends Module {
  forward(h: Tensor, inputs: BlockInputs, poses: number, key: RngKey | undefined): Tensor
}

/** Rows of the packed modulation that a branch takes: shift, scale, gate. */
const ROWS: Record<Conditioning, number> = { none: 0, adaLN: 2, 'adaLN-Zero': 3 }
const EPS = 1e-6
const ZERO = { init: zeros, biasInit: zeros }

export abstract class ConditionedBlock extends Module {
  /** In mode 'none', one for each branch. */
  readonly norms: readonly LayerNorm[]
  readonly adaLN_modulation: Sequential | undefined
  private readonly rows: number

  constructor(device: Device, key: RngKey, { hiddenSize: hidden, conditioning }: BlockConfig, branches: number) {
    super()
    const rows = ROWS[conditioning]
    this.rows = rows
    this.norms = rows > 0 ? [] : Array.from({ length: branches }, () => new LayerNorm(device, hidden, { eps: EPS }))
    this.adaLN_modulation =
      rows > 0 ? new Sequential(silu, new Linear(device, key, hidden, branches * rows * hidden, ZERO)) : undefined
  }

  /** The rows of all branches [B, S, C] from c [B, C]: for each shift, scale and, if gated, gate. */
  protected modulation(c: Tensor): Tensor | undefined {
    return this.adaLN_modulation && reshape(this.adaLN_modulation.forward(c), [c.shape[0], -1, c.shape[1]])
  }

  /** What branch `index` reads of h [B, N, C]. */
  protected normed(index: number, h: Tensor, m: Tensor | undefined): Tensor {
    if (!m) return this.norms[index].forward(h)
    return modulatedLayerNorm(h, m, index * this.rows, index * this.rows + 1, EPS)
  }

  /** h + gate·y, in the product by which `y` ends where there is a gate. */
  protected joined(index: number, h: Tensor, m: Tensor | undefined, y: (into?: GatedInto) => Tensor): Tensor {
    if (!m || this.rows < 3) return add(h, y())
    return y({ residual: h, modulation: m, gateIndex: index * this.rows + 2 })
  }

  /** h + gate·f(norm(h)). */
  protected branch(
    index: number,
    h: Tensor,
    m: Tensor | undefined,
    f: (x: Tensor, into?: GatedInto) => Tensor,
  ): Tensor {
    return this.joined(index, h, m, into => f(this.normed(index, h, m), into))
  }
}
