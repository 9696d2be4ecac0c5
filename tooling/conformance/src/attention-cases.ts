// The cases attention is tried on: every option alone, and random combinations of them.

import fc from 'fast-check'
import type { AttentionCase, PairForm } from './attention-case'

const BASE: AttentionCase = { seed: 1, batch: 2, queries: 59, keys: 59, heads: 2, dim: 8, valueDim: 8 }

const FULL: PairForm = [true, true, true, true]

const PAIR_FORMS: Record<string, PairForm> = {
  '[Lq, Lk]': 'plain',
  '[B, H, Lq, Lk]': FULL,
  '[1, H, Lq, Lk]': [false, true, true, true],
  '[B, 1, Lq, Lk]': [true, false, true, true],
  '[B, 1, 1, Lk]': [true, false, false, true],
  '[1, H, Lq, 1]': [false, true, true, false],
  '[B, H, 1, 1]': [true, true, false, false],
  '[1, 1, 1, 1]': [false, false, false, false],
}

/** Name and case: each option by itself, in every form it has. */
export const SINGLE_OPTIONS: readonly (readonly [string, AttentionCase])[] = [
  ['no options, 1 × 1', { ...BASE, queries: 1, keys: 1 }],
  ['no options, 7 × 7', { ...BASE, queries: 7, keys: 7 }],
  ['no options, 1 × 147', { ...BASE, queries: 1, keys: 147 }],
  ['no options, 147 × 1', { ...BASE, queries: 147, keys: 1 }],
  ['no options, 59 × 147', { ...BASE, keys: 147 }],
  ['another head dim for values', { ...BASE, valueDim: 5, dim: 3 }],
  ['head dim 72', { ...BASE, queries: 7, keys: 33, dim: 72, valueDim: 72 }],
  ['scale', { ...BASE, scale: 0.9 }],
  ['scale 0', { ...BASE, scale: 0 }],
  ['keyMask', { ...BASE, keyMask: 'bool' }],
  ['keyMask as i32', { ...BASE, queries: 7, keyMask: 'i32' }],
  ['keyMask as float', { ...BASE, queries: 7, keyMask: 'float' }],
  ['keyMask [B, 1, Lk]', { ...BASE, queries: 7, keyMask: 'three axes' }],
  ['queryMask', { ...BASE, queryMask: true }],
  ['keyLengths', { ...BASE, batch: 3, keyLengths: true }],
  ['queryLengths', { ...BASE, batch: 3, queryLengths: true }],
  ['offsets', { ...BASE, samples: { queries: [20, 0, 9, 30], keys: [7, 12, 0, 40] } }],
  ['offsets, tokens left over', { ...BASE, samples: { queries: [20, 9], keys: [17, 12] } }],
  ...Object.entries(PAIR_FORMS).map(([name, mask]) => [`mask ${name}`, { ...BASE, queries: 23, mask }] as const),
  ['mask [B, Lq, Lk]', { ...BASE, queries: 23, mask: 'sample' }],
  ...Object.entries(PAIR_FORMS).map(([name, bias]) => [`bias ${name}`, { ...BASE, queries: 23, bias }] as const),
  ['bias with −∞', { ...BASE, bias: FULL, holes: true }],
  ['factoredBias', { ...BASE, factors: { rank: 3, perSample: true, perHead: true } }],
  ['factoredBias shared', { ...BASE, factors: { rank: 4, perSample: false, perHead: false } }],
  ['factoredBias per head', { ...BASE, queries: 23, factors: { rank: 1, perSample: false, perHead: true } }],
  ['causal top-left, more keys', { ...BASE, queries: 23, causal: 'top-left' }],
  ['causal top-left, more queries', { ...BASE, keys: 23, causal: 'top-left' }],
  ['causal bottom-right, more keys', { ...BASE, queries: 23, causal: 'bottom-right' }],
  ['causal bottom-right, more queries', { ...BASE, keys: 23, causal: 'bottom-right' }],
  ['dropout', { ...BASE, dropout: 0.3 }],
  ['q, k, v sliced from wider tensors', { ...BASE, queries: 23, layout: 'sliced' }],
  ['packed qkv', { ...BASE, layout: 'qkv' }],
  ['packed kv', { ...BASE, queries: 23, layout: 'kv' }],
  ['everything at 147', everything(147)],
  ['everything at 587', { ...everything(587), heads: 1 }],
]

/** Many options at once, at a size that takes several tiles of any kernel. */
export function everything(tokens: number): AttentionCase {
  return {
    ...BASE,
    batch: 1,
    queries: tokens,
    keys: tokens,
    dim: 4,
    valueDim: 4,
    keyMask: 'bool',
    queryMask: true,
    mask: 'plain',
    bias: [false, true, true, true],
    factors: { rank: 2, perSample: false, perHead: false },
    causal: 'bottom-right',
    dropout: 0.1,
  }
}

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 1 })

const pairForm: fc.Arbitrary<PairForm> = fc.oneof(
  fc.constant<PairForm>('plain'),
  fc.tuple(fc.boolean(), fc.boolean(), fc.boolean(), fc.boolean()),
)

const sizes = fc.constantFrom(1, 7, 30, 59)

const samples = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 20 })), { minLength: 1, maxLength: 4 })
  .map(counts => ({ queries: counts.map(c => c[0]), keys: counts.map(c => c[1]) }))

/** Any combination of options that the contract allows: all of them compose. */
export const anyCase: fc.Arbitrary<AttentionCase> = fc
  .record({
    seed: fc.nat(2 ** 30),
    batch: fc.integer({ min: 1, max: 3 }),
    queries: sizes,
    keys: sizes,
    heads: fc.integer({ min: 1, max: 3 }),
    dim: fc.constantFrom(1, 4, 9),
    valueDim: fc.constantFrom(1, 4, 6),
    scale: optional(fc.constantFrom(0.5, 1)),
    keyMask: optional(fc.constantFrom('bool', 'i32', 'float', 'three axes' as const)),
    queryMask: fc.boolean(),
    keyLengths: fc.boolean(),
    queryLengths: fc.boolean(),
    samples: optional(samples),
    mask: optional(fc.oneof(pairForm, fc.constant<PairForm>('sample'))),
    bias: optional(pairForm),
    holes: fc.boolean(),
    factors: optional(fc.record({ rank: fc.constantFrom(1, 2, 5), perSample: fc.boolean(), perHead: fc.boolean() })),
    causal: optional(fc.constantFrom('top-left', 'bottom-right' as const)),
    dropout: optional(fc.constantFrom(0.1, 0.5)),
    layout: fc.constantFrom('apart', 'sliced', 'qkv', 'kv' as const),
  })
  .map(fitted)

/** Makes sizes agree with samples and layout. */
function fitted(c: AttentionCase): AttentionCase {
  const spare = c.seed % 3
  const total = (counts: readonly number[]) => Math.max(1, counts.reduce((a, b) => a + b, 0) + spare)
  const queries = c.samples ? total(c.samples.queries) : c.queries
  const keys = c.samples ? total(c.samples.keys) : c.keys
  const packed = c.layout === 'qkv' || c.layout === 'kv'
  const layout = c.layout === 'qkv' && queries !== keys ? 'kv' : c.layout
  return { ...c, queries, keys, layout, valueDim: packed ? c.dim : c.valueDim }
}
