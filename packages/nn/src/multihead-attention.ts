// Multi-head attention (Vaswani et al. 2017) over core's attention, with the weight names of torch.nn.MultiheadAttention.

import {
  type AttentionOptions,
  attention,
  attentionWeights,
  type ComputeDType,
  type Device,
  fromSequenceFirst,
  linear,
  mergeHeads,
  packedAttention,
  packedCrossAttention,
  type RngKey,
  reshape,
  scope,
  slice,
  splitHeads,
  type Tensor,
  toSequenceFirst,
} from '@ditkit/core'
import { type MaskMeaning, reportBlockedRows } from './blocked-rows'
import { Dropout } from './dropout'
import { withExtraKeys, withExtraTokens } from './extra-keys'
import { normalInit, xavierUniform, zeros } from './init'
import { Linear } from './linear'
import { Module, parameter } from './module'
import {
  type AttentionCall,
  attentionCall,
  contractOptions,
  type MultiheadAttentionInputs,
  type NamedAttentionInputs,
} from './multihead-attention-call'

export interface MultiheadAttentionOptions {
  bias?: boolean
  /** Widths of key and value where they differ from the query's; the projections are then three weights, not one. */
  kDim?: number
  vDim?: number
  /** On the attention weights, in training; `forward` then needs `rng`. */
  dropout?: number
  /** On the result, in training (PETR's `proj_drop`); `forward` then needs `rng`. */
  outputDropout?: number
  /** Default true: [B, L, C]. false: [L, B, C], PyTorch's default and PETR's layout. */
  batchFirst?: boolean
  /** A learned key and value (`bias_k`, `bias_v`) that every query may attend to: PyTorch's `add_bias_kv`. */
  addBiasKV?: boolean
  /** A key and value of zeros that every query may attend to: PyTorch's `add_zero_attn`. */
  addZeroAttention?: boolean
  /** What the projections, and attention where that is faster, round the operands of products to, forward and backward. Default 'f32'. */
  computeDtype?: ComputeDType
}

/**
 * Batch first unless told otherwise. `keyMask`, `mask` and the other options are those of attention: true takes part. `keyPaddingMask` and
 * `attnMask` are PyTorch's: true is blocked. A query that may attend to nothing gives the output's bias, where PyTorch gives NaN.
 */
export class MultiheadAttention extends Module {
  /** [3·E, E]: query, key, value. */
  readonly in_proj_weight: Tensor | undefined
  readonly q_proj_weight: Tensor | undefined
  readonly k_proj_weight: Tensor | undefined
  readonly v_proj_weight: Tensor | undefined
  readonly in_proj_bias: Tensor | undefined
  /** [1, 1, E] */
  readonly bias_k: Tensor | undefined
  readonly bias_v: Tensor | undefined
  readonly out_proj: Linear
  readonly dropout: number
  readonly batchFirst: boolean
  readonly addZeroAttention: boolean
  readonly computeDtype: ComputeDType
  private readonly outputDropout: Dropout
  private readonly seen = new Set<string>()
  private readonly widths: readonly [query: number, key: number, value: number]

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
    if (!Number.isInteger(heads) || embedDim % heads !== 0)
      throw new RangeError(`MultiheadAttention: ${heads} heads do not divide the width ${embedDim}`)
    const [qKey, kKey, vKey, outKey, biasKKey, biasVKey] = key.split(6)
    if (kDim === embedDim && vDim === embedDim) {
      this.in_proj_weight = parameter(xavierUniform(device, [3 * embedDim, embedDim], qKey))
    } else {
      this.q_proj_weight = parameter(xavierUniform(device, [embedDim, embedDim], qKey))
      this.k_proj_weight = parameter(xavierUniform(device, [embedDim, kDim], kKey))
      this.v_proj_weight = parameter(xavierUniform(device, [embedDim, vDim], vKey))
    }
    this.in_proj_bias = bias ? parameter(device.zeros([3 * embedDim])) : undefined
    if (options.addBiasKV) {
      const init = normalInit({ std: 1 / Math.sqrt(embedDim) })
      this.bias_k = parameter(init(device, [1, 1, embedDim], biasKKey))
      this.bias_v = parameter(init(device, [1, 1, embedDim], biasVKey))
    }
    this.out_proj = new Linear(device, outKey, embedDim, embedDim, { bias, biasInit: zeros, computeDtype })
    this.dropout = dropout
    this.outputDropout = new Dropout(options.outputDropout ?? 0)
    this.batchFirst = options.batchFirst ?? true
    this.addZeroAttention = options.addZeroAttention ?? false
    this.computeDtype = computeDtype
    this.widths = [embedDim, kDim, vDim]
  }

  /**
   * query [B, L, E], key [B, S, kDim], value [B, S, vDim] → [B, L, E]; [L, B, E] and so on without `batchFirst`. Self-attention by default;
   * with `key` alone it is the value too. Or by name: `forward({ query, key, value, ...options })`, `forward({ q, k, v })`.
   * @throws RangeError for shapes that do not go together, TypeError for a mask given twice.
   */
  forward(query: Tensor, key?: Tensor, value?: Tensor, options?: MultiheadAttentionInputs): Tensor
  forward(inputs: NamedAttentionInputs): Tensor
  forward(
    query: Tensor | NamedAttentionInputs,
    key?: Tensor,
    value?: Tensor,
    options: MultiheadAttentionInputs = {},
  ): Tensor {
    return scope(() => {
      const call = this.batchFirstCall(attentionCall(query, key, value, options))
      return this.finish(this.attend(call), call)
    }, 'MultiheadAttention.forward')
  }

  /**
   * As `forward`, and the weights of each head [B, H, L, S], dropout included, without gradients; `mean(weights, 1)` is what PyTorch averages.
   * They take memory of that size, which `forward` does not.
   */
  forwardWithWeights(
    query: Tensor,
    key?: Tensor,
    value?: Tensor,
    options?: MultiheadAttentionInputs,
  ): { out: Tensor; weights: Tensor }
  forwardWithWeights(inputs: NamedAttentionInputs): { out: Tensor; weights: Tensor }
  forwardWithWeights(
    query: Tensor | NamedAttentionInputs,
    key?: Tensor,
    value?: Tensor,
    options: MultiheadAttentionInputs = {},
  ): { out: Tensor; weights: Tensor } {
    return scope(() => {
      const call = this.batchFirstCall(attentionCall(query, key, value, options))
      const { q, k, v } = this.operands(call)
      const contract = this.contract(call)
      return { out: this.finish(attention(q, k, v, contract), call), weights: attentionWeights(q, k, contract) }
    }, 'MultiheadAttention.forwardWithWeights')
  }

  /** The call with its operands batch first, checked; what is one tensor stays one. */
  private batchFirstCall(call: AttentionCall): AttentionCall {
    const names = ['query', 'key', 'value'] as const
    names.forEach((name, i) => {
      const { shape } = call[name]
      if (shape.length !== 3 || shape[2] !== this.widths[i])
        throw new RangeError(
          `MultiheadAttention: ${name} has shape [${shape.join(', ')}], expected ${this.batchFirst ? '[batch, tokens' : '[tokens, batch'}, ${this.widths[i]}]`,
        )
    })
    const [tokens, batch] = this.batchFirst ? [1, 0] : [0, 1]
    const { query, key, value } = call
    if (key.shape[tokens] !== value.shape[tokens])
      throw new RangeError(
        `MultiheadAttention: key has ${key.shape[tokens]} tokens but value ${value.shape[tokens]}, expected the same number`,
      )
    if (key.shape[batch] !== query.shape[batch] || value.shape[batch] !== query.shape[batch])
      throw new RangeError(
        `MultiheadAttention: query, key and value have batches of ${query.shape[batch]}, ${key.shape[batch]} and ${value.shape[batch]}, expected the same` +
          (this.batchFirst ? '; with batchFirst: false the batch is the second axis' : ''),
      )
    if (this.batchFirst) return call
    const first = new Map([query, key, value].map(x => [x, fromSequenceFirst(x)]))
    return { ...call, query: first.get(query)!, key: first.get(key)!, value: first.get(value)! }
  }

  /** The options for attention: the module's dropout unless the call says otherwise. */
  private contract({ query, key, options }: AttentionCall): AttentionOptions {
    const [batch, queries] = query.shape
    const keys = key.shape[1]
    const given = contractOptions(options, { batch, queries, keys, heads: this.heads })
    const extra = (this.bias_k ? 1 : 0) + (this.addZeroAttention ? 1 : 0)
    const { computeDtype } = this
    return { dropout: this.training ? this.dropout : 0, computeDtype, ...withExtraKeys(given, keys, extra) }
  }

  /** Looks at each kind of mask once, when it first comes. */
  private reportMasks({ keyPaddingMask, attnMask, keyMask, mask }: MultiheadAttentionInputs): void {
    const look = (name: string, what: string, given: Tensor | undefined, meaning?: MaskMeaning) => {
      if (!given || this.seen.has(name)) return
      this.seen.add(name)
      reportBlockedRows(name, what, given, meaning ?? (given.dtype === 'bool' ? 'blocked' : 'added'))
    }
    look('keyPaddingMask', 'sample', keyPaddingMask)
    look('attnMask', 'query', attnMask)
    look('keyMask', 'sample', keyMask, 'takes part')
    look('mask', 'query', mask, 'takes part')
  }

  private attend(call: AttentionCall): Tensor {
    const { query, key, value } = call
    if (this.in_proj_weight && key === value && !this.bias_k && !this.addZeroAttention) {
      const options = this.contract(call)
      if (query === key) return packedAttention(this.packed(query, 0, 3), options)
      return packedCrossAttention(splitHeads(this.projected(query, 0, 1), this.heads), this.packed(key, 1, 3), options)
    }
    const { q, k, v } = this.operands(call)
    return attention(q, k, v, this.contract(call))
  }

  private operands({ query, key, value }: AttentionCall): { q: Tensor; k: Tensor; v: Tensor } {
    const [q, k, v] = [query, key, value].map((x, i) => splitHeads(this.projected(x, i, i + 1), this.heads))
    return {
      q: q!,
      k: withExtraTokens(k!, this.bias_k, this.addZeroAttention),
      v: withExtraTokens(v!, this.bias_v, this.addZeroAttention),
    }
  }

  /** attended [B, L, H, D] → the result, in the layout of the call. */
  private finish(attended: Tensor, { options }: AttentionCall): Tensor {
    this.reportMasks(options)
    const out = this.outputDropout.forward(this.out_proj.forward(mergeHeads(attended)), options.rng?.foldIn(1))
    return this.batchFirst ? out : toSequenceFirst(out)
  }

  /** x [B, L, in] → [B, L, (last − first)·E]: the parts first … last − 1 of (query, key, value). */
  private projected(x: Tensor, first: number, last: number): Tensor {
    const rows = (of: Tensor) => slice(of, 0, first * this.embedDim, last * this.embedDim)
    const separate = [this.q_proj_weight, this.k_proj_weight, this.v_proj_weight][first]
    const weight = this.in_proj_weight ? rows(this.in_proj_weight) : separate!
    return linear(x, weight, this.in_proj_bias && rows(this.in_proj_bias), { computeDtype: this.computeDtype })
  }

  /** The same as [B, L, last − first, H, D]. */
  private packed(x: Tensor, first: number, last: number): Tensor {
    const [batch, tokens] = x.shape as [number, number]
    const shape = [batch, tokens, last - first, this.heads, this.embedDim / this.heads]
    return reshape(this.projected(x, first, last), shape)
  }
}
