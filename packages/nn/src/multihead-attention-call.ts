// What a MultiheadAttention is called with: by position or by name (PyTorch's and PETR's), and with the contract's masks or PyTorch's, which
// become the contract's here.

import { type AttentionOptions, add, fromBatchHeads, fromBlockedMask, reshape, Tensor } from '@ditkit/core'

/** The options of attention, and PyTorch's masks under PyTorch's names, which have PyTorch's meaning. */
export interface MultiheadAttentionInputs extends AttentionOptions {
  /** `key_padding_mask` [B, S]: bool, where **true is blocked**, or float, added to the scores. */
  readonly keyPaddingMask?: Tensor
  /** `attn_mask` [L, S] or [B·H, L, S]: bool, where **true is blocked**, or float, added to the scores. */
  readonly attnMask?: Tensor
}

/** query, key and value by PyTorch's names or by PETR's, with the options. What is left out is as in a call by position. */
export interface NamedAttentionInputs extends MultiheadAttentionInputs {
  readonly query?: Tensor
  readonly key?: Tensor
  readonly value?: Tensor
  readonly q?: Tensor
  readonly k?: Tensor
  readonly v?: Tensor
}

export interface AttentionCall {
  readonly query: Tensor
  readonly key: Tensor
  readonly value: Tensor
  readonly options: MultiheadAttentionInputs
}

const NAMES = [
  ['query', 'q'],
  ['key', 'k'],
  ['value', 'v'],
] as const

/** Self-attention where `key` is missing; with `key` alone it is the value too. */
export function attentionCall(
  query: Tensor | NamedAttentionInputs,
  key: Tensor | undefined,
  value: Tensor | undefined,
  options: MultiheadAttentionInputs,
): AttentionCall {
  if (query instanceof Tensor) return { query, key: key ?? query, value: value ?? key ?? query, options }
  const { query: _, key: __, value: ___, q, k, v, ...rest } = query
  const [first, second, third] = NAMES.map(([long, short]) => {
    if (query[long] && query[short])
      throw new TypeError(`MultiheadAttention: ${long} and ${short} are two names of one operand; pass one of them`)
    return query[long] ?? query[short]
  })
  if (!first) throw new TypeError('MultiheadAttention: there is no query (pass query, or q)')
  if (third && !second) throw new TypeError('MultiheadAttention: there is a value but no key (pass key, or k)')
  return { query: first, key: second ?? first, value: third ?? second ?? first, options: rest }
}

/**
 * The options as attention takes them: masks of PyTorch turned around, heads in the batch made an axis, float masks made a bias. Nothing is
 * repeated over heads. @throws TypeError where a mask is given twice or of no such dtype, RangeError for shapes that do not fit.
 */
export function contractOptions(
  { keyPaddingMask, attnMask, ...options }: MultiheadAttentionInputs,
  sizes: { batch: number; queries: number; keys: number; heads: number },
): AttentionOptions {
  const { batch, queries, keys, heads } = sizes
  const result: { -readonly [K in keyof AttentionOptions]: AttentionOptions[K] } = { ...options }
  if (keyPaddingMask) {
    expectMask('keyPaddingMask', keyPaddingMask, [[batch, keys]])
    if (keyPaddingMask.dtype === 'bool') {
      once('keyPaddingMask', 'keyMask', options.keyMask)
      result.keyMask = fromBlockedMask(keyPaddingMask)
    } else {
      once('a float keyPaddingMask', 'bias', options.bias)
      result.bias = reshape(keyPaddingMask, [batch, 1, 1, keys])
    }
  }
  if (attnMask) {
    expectMask('attnMask', attnMask, [
      [queries, keys],
      [batch * heads, queries, keys],
    ])
    const pairs = attnMask.rank === 2 ? attnMask : fromBatchHeads(attnMask, heads)
    if (attnMask.dtype === 'bool') {
      once('attnMask', 'mask', options.mask)
      result.mask = fromBlockedMask(pairs)
    } else {
      once('a float attnMask', 'bias', options.bias)
      result.bias = result.bias ? add(result.bias, pairs) : pairs
    }
  }
  return result
}

function once(theirs: string, ours: string, given: unknown): void {
  if (given) throw new TypeError(`MultiheadAttention: ${theirs} and ${ours} are both given; pass one of them`)
}

function expectMask(name: string, mask: Tensor, shapes: number[][]): void {
  if (!(mask instanceof Tensor))
    throw new TypeError(`MultiheadAttention: ${name} is ${typeof mask} (expected a Tensor)`)
  if (mask.dtype === 'i32')
    throw new TypeError(
      `MultiheadAttention: ${name} is i32 (expected bool, where true is blocked, or floats, which are added): cast(${name}, 'bool')`,
    )
  if (shapes.some(shape => shape.join() === mask.shape.join())) return
  const expected = shapes.map(shape => `[${shape.join(', ')}]`).join(' or ')
  throw new RangeError(`MultiheadAttention: ${name} has shape [${mask.shape.join(', ')}], expected ${expected}`)
}
