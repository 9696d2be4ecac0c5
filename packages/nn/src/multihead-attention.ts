// Multi-head attention (Vaswani et al. 2017) over core's attention, with the weight names of torch.nn.MultiheadAttention.

import {
  type AttentionOptions,
  attention,
  type ComputeDType,
  type Device,
  linear,
  packedAttention,
  packedCrossAttention,
  type RngKey,
  reshape,
  scope,
  slice,
  type Tensor,
} from '@ditkit/core'
import { xavierUniform, zeros } from './init'
import { Linear } from './linear'
import { Module, parameter } from './module'

export interface MultiheadAttentionOptions {
  bias?: boolean
  /** Widths of key and value where they differ from the query's; the projections are then three weights, not one. */
  kDim?: number
  vDim?: number
  /** On the attention weights, in training; `forward` then needs `rng`. */
  dropout?: number
  /** What the products of the projections round their operands to, forward and backward. Attention itself stays f32. Default 'f32'. */
  computeDtype?: ComputeDType
}

/** Batch first, and without PyTorch's inverted masks: in every mask, true takes part. */
export class MultiheadAttention extends Module {
  /** [3·E, E]: query, key, value. */
  readonly in_proj_weight: Tensor | undefined
  readonly q_proj_weight: Tensor | undefined
  readonly k_proj_weight: Tensor | undefined
  readonly v_proj_weight: Tensor | undefined
  readonly in_proj_bias: Tensor | undefined
  readonly out_proj: Linear
  readonly dropout: number
  readonly computeDtype: ComputeDType

  /** @throws RangeError unless `heads` divides `embedDim`. */
  constructor(
    device: Device,
    key: RngKey,
    readonly embedDim: number,
    readonly heads: number,
    options: MultiheadAttentionOptions = {},
  ) {
    super()
    const { bias = true, kDim = embedDim, vDim = embedDim, dropout = 0, computeDtype = 'f32' } = options
    if (embedDim % heads !== 0)
      throw new RangeError(`MultiheadAttention: ${heads} heads do not divide the width ${embedDim}`)
    const [qKey, kKey, vKey, outKey] = key.split(4)
    if (kDim === embedDim && vDim === embedDim) {
      this.in_proj_weight = parameter(xavierUniform(device, [3 * embedDim, embedDim], qKey))
    } else {
      this.q_proj_weight = parameter(xavierUniform(device, [embedDim, embedDim], qKey))
      this.k_proj_weight = parameter(xavierUniform(device, [embedDim, kDim], kKey))
      this.v_proj_weight = parameter(xavierUniform(device, [embedDim, vDim], vKey))
    }
    this.in_proj_bias = bias ? parameter(device.zeros([3 * embedDim])) : undefined
    this.out_proj = new Linear(device, outKey, embedDim, embedDim, { bias, biasInit: zeros, computeDtype })
    this.dropout = dropout
    this.computeDtype = computeDtype
  }

  /**
   * query [B, Lq, E], key [B, Lk, kDim], value [B, Lk, vDim] → [B, Lq, E]. Self-attention by default; with `key` alone it
   * is the value too.
   */
  forward(query: Tensor, key: Tensor = query, value: Tensor = key, options: AttentionOptions = {}): Tensor {
    const dropout = this.training ? this.dropout : 0
    return scope(() => {
      const attended = this.attend(query, key, value, { dropout, ...options })
      return this.out_proj.forward(reshape(attended, [...query.shape.slice(0, 2), this.embedDim]))
    })
  }

  private attend(query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions): Tensor {
    if (this.in_proj_weight && key === value) {
      if (query === key) return packedAttention(this.project(query, this.in_proj_weight, 0, 3), options)
      const q = this.heads4(this.project(query, slice(this.in_proj_weight, 0, 0, this.embedDim), 0, 1))
      const kv = this.project(key, slice(this.in_proj_weight, 0, this.embedDim, 3 * this.embedDim), 1, 3)
      return packedCrossAttention(q, kv, options)
    }
    const [q, k, v] = [query, key, value].map((x, i) => this.heads4(this.project(x, this.weightOf(i), i, i + 1)))
    return attention(q!, k!, v!, options)
  }

  /** x [B, L, in] → [B, L, last − first, H, D]: the parts first … last − 1 of (query, key, value). */
  private project(x: Tensor, weight: Tensor, first: number, last: number): Tensor {
    const [batch, tokens] = x.shape as [number, number]
    const bias = this.in_proj_bias && slice(this.in_proj_bias, 0, first * this.embedDim, last * this.embedDim)
    const projected = linear(x, weight, bias, { computeDtype: this.computeDtype })
    return reshape(projected, [batch, tokens, last - first, this.heads, this.embedDim / this.heads])
  }

  private heads4(x: Tensor): Tensor {
    const [batch, tokens, , heads, dim] = x.shape as [number, number, number, number, number]
    return reshape(x, [batch, tokens, heads, dim])
  }

  private weightOf(part: number): Tensor {
    if (this.in_proj_weight) return slice(this.in_proj_weight, 0, part * this.embedDim, (part + 1) * this.embedDim)
    return [this.q_proj_weight, this.k_proj_weight, this.v_proj_weight][part]!
  }
}
