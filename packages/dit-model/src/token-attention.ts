// Self- and cross-attention of a SceneDiT's tokens: packed projections, masks and bias passed on, queries and keys
// normalised per head where asked (QK-norm; Dehghani et al. 2023, arXiv:2302.05442, with RMS norm as in Esser et al. 2024).

import {
  type AttentionOptions,
  type ComputeDType,
  concat,
  type Device,
  type GatedInto,
  packedAttention,
  packedCrossAttention,
  type RngKey,
  reshape,
  split,
  type Tensor,
} from '@ditkit/core'
import { Linear, Module, RMSNorm, xavierUniform, zeros } from '@ditkit/nn'
import type { PoseFrames } from './pose-geometry'

export interface TokenAttentionConfig {
  hiddenSize: number
  numHeads: number
  qkNorm: boolean
  computeDtype: ComputeDType
}

/** Where the poses are that look, and where the tokens [B, M, 3] are that are looked at. */
export interface Places {
  readonly frames: PoseFrames
  readonly positions: Tensor
}

/** What attention reads of a call: masks, bias and dropout. */
export type TokenAttentionOptions = Pick<AttentionOptions, 'keyMask' | 'bias' | 'factoredBias' | 'dropout' | 'rng'>

export interface CrossAttentionOptions extends TokenAttentionOptions {
  /** For a `LocatedCrossAttention`. */
  places?: Places
}

const XAVIER = { init: xavierUniform, biasInit: zeros }

/** Tokens [B, N, C] look at each other. */
export class SelfAttention extends Module {
  readonly qkv: Linear
  readonly q_norm: RMSNorm | undefined
  readonly k_norm: RMSNorm | undefined
  readonly proj: Linear
  readonly heads: number

  constructor(device: Device, key: RngKey, config: TokenAttentionConfig) {
    super()
    const { hiddenSize: hidden, numHeads, qkNorm, computeDtype } = config
    const [first, second] = key.split(2)
    this.heads = numHeads
    this.qkv = new Linear(device, first, hidden, 3 * hidden, { ...XAVIER, computeDtype })
    this.q_norm = qkNorm ? new RMSNorm(device, hidden / numHeads) : undefined
    this.k_norm = qkNorm ? new RMSNorm(device, hidden / numHeads) : undefined
    this.proj = new Linear(device, second, hidden, hidden, { ...XAVIER, computeDtype })
  }

  /** Queries, keys and values of x [B, N, C] → [B, N, 3, H, D]. */
  pack(x: Tensor): Tensor {
    const [batch, tokens, hidden] = x.shape
    const qkv = reshape(this.qkv.forward(x), [batch, tokens, 3, this.heads, hidden / this.heads])
    if (!this.q_norm || !this.k_norm) return qkv
    const [q, k, v] = split(qkv, 3, 2)
    return concat([this.q_norm.forward(q), this.k_norm.forward(k), v], 2)
  }

  forward(x: Tensor, options: TokenAttentionOptions, into?: GatedInto): Tensor {
    const { computeDtype } = this.qkv
    const attended = packedAttention(this.pack(x), { ...options, computeDtype })
    return this.proj.forward(reshape(attended, x.shape), 'none', into)
  }
}

/** Tokens [B, M, C] to keys and values. */
export class KeyProjection extends Module {
  readonly kv: Linear
  readonly k_norm: RMSNorm | undefined
  readonly heads: number

  constructor(device: Device, key: RngKey, config: TokenAttentionConfig) {
    super()
    const { hiddenSize: hidden, numHeads, qkNorm, computeDtype } = config
    this.heads = numHeads
    this.kv = new Linear(device, key, hidden, 2 * hidden, { ...XAVIER, computeDtype })
    this.k_norm = qkNorm ? new RMSNorm(device, hidden / numHeads) : undefined
  }

  /** x [B, M, C] → [B, M, 2, H, D]. */
  pack(x: Tensor): Tensor {
    const [batch, tokens, hidden] = x.shape
    const kv = reshape(this.kv.forward(x), [batch, tokens, 2, this.heads, hidden / this.heads])
    if (!this.k_norm) return kv
    const [k, v] = split(kv, 2, 2)
    return concat([this.k_norm.forward(k), v], 2)
  }
}

/** Tokens [B, N, C] look at a context [B, M, C]. */
export class CrossAttention extends KeyProjection {
  readonly q: Linear
  readonly q_norm: RMSNorm | undefined
  readonly proj: Linear

  /** `width`: numbers that the output projection reads. */
  constructor(device: Device, key: RngKey, config: TokenAttentionConfig, width = config.hiddenSize) {
    const [first, second, third] = key.split(3)
    super(device, second, config)
    const { hiddenSize: hidden, numHeads, qkNorm, computeDtype } = config
    this.q = new Linear(device, first, hidden, hidden, { ...XAVIER, computeDtype })
    this.q_norm = qkNorm ? new RMSNorm(device, hidden / numHeads) : undefined
    this.proj = new Linear(device, third, width, hidden, { ...XAVIER, computeDtype })
  }

  /** x [B, N, C] → [B, N, H, D]. */
  protected queries(x: Tensor): Tensor {
    const [batch, tokens, hidden] = x.shape
    const projected = reshape(this.q.forward(x), [batch, tokens, this.heads, hidden / this.heads])
    return this.q_norm ? this.q_norm.forward(projected) : projected
  }

  forward(x: Tensor, context: Tensor, options: CrossAttentionOptions, into?: GatedInto): Tensor {
    const { computeDtype } = this.q
    const attended = packedCrossAttention(this.queries(x), this.pack(context), { ...options, computeDtype })
    return this.proj.forward(reshape(attended, x.shape), 'none', into)
  }
}
