// A layer of the cross-modal decoder: queries look at each other, then at the tokens of all sensors, then an MLP; each
// branch is normalised after its sum, as in DETR (arXiv:2005.12872), PETR and CMT.

import { type AttentionOptions, add, type Device, type RngKey, recompute, scope, type Tensor } from '@ditkit/core'
import { Dropout, LayerNorm, MLP, Module, MultiheadAttention } from '@ditkit/nn'
import type { CompleteCrossModalConfig } from './cross-modal-config'

/** What all layers read alike. */
export interface DecoderMemory {
  /** [B, Q, C]: added to the queries where they look at each other. */
  readonly selfPosition: Tensor
  /** [B, N, C]: tokens with their positions. */
  readonly keys: Tensor
  /** [B, N, C]: tokens without. */
  readonly values: Tensor
  /** bool [Q, Q] or [B, Q, Q]: which queries see which. */
  readonly selfMask?: Tensor
  /** Mask and bias of the look at the tokens. */
  readonly cross: Pick<AttentionOptions, 'keyMask' | 'bias' | 'factoredBias'>
  /** [B, Q, C]: added to the queries where they look at the tokens. */
  readonly crossPosition: Tensor
}

export class CrossModalLayer extends Module {
  readonly self_attn: MultiheadAttention
  readonly norm1: LayerNorm
  readonly cross_attn: MultiheadAttention
  readonly norm2: LayerNorm
  readonly mlp: MLP
  readonly norm3: LayerNorm
  readonly dropout: Dropout

  constructor(device: Device, key: RngKey, { hiddenSize, heads, mlpSize, dropout }: CompleteCrossModalConfig) {
    super()
    const [own, cross, mlp] = key.split(3)
    this.self_attn = new MultiheadAttention(device, own, hiddenSize, heads, { dropout })
    this.norm1 = new LayerNorm(device, hiddenSize)
    this.cross_attn = new MultiheadAttention(device, cross, hiddenSize, heads, { dropout })
    this.norm2 = new LayerNorm(device, hiddenSize)
    this.mlp = new MLP(device, mlp, hiddenSize, mlpSize, { activation: 'relu' })
    this.norm3 = new LayerNorm(device, hiddenSize)
    this.dropout = new Dropout(dropout)
  }

  /** x [B, Q, C] → the same; `key` draws the dropout of training. */
  forward(x: Tensor, memory: DecoderMemory, key: RngKey | undefined): Tensor {
    return scope(() => {
      const { selfPosition, crossPosition, keys, values, selfMask, cross } = memory
      const [selfKey, afterSelf, crossKey, afterCross, afterMlp] = key?.split(5) ?? []
      const placed = add(x, selfPosition)
      const seen = this.self_attn.forward(placed, placed, x, { mask: selfMask, rng: selfKey })
      let h = this.norm1.forward(add(x, this.dropout.forward(seen, afterSelf)))
      const found = this.cross_attn.forward(add(h, crossPosition), keys, values, { ...cross, rng: crossKey })
      h = this.norm2.forward(add(h, this.dropout.forward(found, afterCross)))
      return this.norm3.forward(add(h, this.dropout.forward(this.mlp.forward(h), afterMlp)))
    }, 'CrossModalLayer.forward')
  }
}

/**
 * `layer.forward`, of which only x and the memory are kept for backward. The memory's tensors are inputs in the order in which the layer reads them, so
 * that their gradients are added up in the order, and so to the bits, of a layer that keeps everything.
 */
export function recomputedLayer(
  layer: CrossModalLayer,
  x: Tensor,
  { cross: { keyMask, bias, factoredBias }, selfPosition, crossPosition, ...rest }: DecoderMemory,
  key: RngKey | undefined,
): Tensor {
  const factors = { factorQuery: factoredBias?.query, factorKey: factoredBias?.key }
  const given = Object.entries({ selfPosition, ...rest, crossPosition, keyMask, bias, ...factors }).filter(
    (entry): entry is [string, Tensor] => entry[1] !== undefined,
  )
  const forward = (x: Tensor, ...tensors: Tensor[]) => {
    const { factorQuery, factorKey, keyMask, bias, ...memory } = Object.fromEntries(
      given.map(([name], i) => [name, tensors[i]]),
    ) as Record<string, Tensor> & Omit<DecoderMemory, 'cross'>
    const factoredBias = factorQuery && factorKey ? { query: factorQuery, key: factorKey } : undefined
    return layer.forward(x, { ...memory, cross: { keyMask, bias, factoredBias } }, key)
  }
  return recompute(forward, x, ...given.map(([, tensor]) => tensor))
}
