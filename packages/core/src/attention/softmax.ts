// The elementwise programs of softmax attention and its gradient that the kernels of core share.

import { type ProgramBuilder, program } from '../program'
import type { AttentionFeature, AttentionProblem } from './kernel'

/** The kernels of core know every option. */
export const ALL_FEATURES: ReadonlySet<AttentionFeature> = new Set<AttentionFeature>([
  'keyMask',
  'queryMask',
  'keyLengths',
  'queryLengths',
  'offsets',
  'mask',
  'bias',
  'factoredBias',
  'causal',
  'dropout',
])

/** Softmax is not computed in half precision here. */
export function supportsCore(problem: AttentionProblem): true | { reason: string } {
  if (problem.dtype === 'f32' || problem.dtype === 'f64') return true
  return { reason: `it computes in f32 and f64, not in ${problem.dtype}; cast q, k and v` }
}

const nothing = (b: ProgramBuilder) => b.constant(Number.NEGATIVE_INFINITY)

/**
 * Softmax of scores, with each row's maximum and sum. An excluded pair has weight 0 whatever its row holds; a row without a pair has maximum −∞ and
 * sum 0.
 */
export const SOFTMAX = program('attention softmax', 1, 0, (b, scores) => {
  const top = b.rowMax(scores)
  const shift = b.select(b.eq(top, nothing(b)), b.constant(0), top)
  const e = b.exp(b.sub(scores, shift))
  const total = b.rowSum(e)
  return [b.select(b.eq(scores, nothing(b)), b.constant(0), b.div(e, total)), top, total]
})

/** The weights of `SOFTMAX` again, from scores and each row's maximum and sum. */
export const WEIGHTS = program('attention weights', 3, 0, (b, scores, top, total) =>
  b.select(b.eq(scores, nothing(b)), b.constant(0), b.div(b.exp(b.sub(scores, top)), total)),
)

/** x · scale where kept, else 0. */
export const DROP = program('attention dropout', 2, 1, (b, x, kept, scale) =>
  b.select(kept, b.mul(x, scale), b.constant(0)),
)

/** x with the rows that attend to nothing set to 0, whatever they hold. */
export const CLEAR_EMPTY_ROWS = program('attention clear rows', 2, 0, (b, x, total) =>
  b.select(b.eq(total, b.constant(0)), b.constant(0), x),
)

/** Σ over the last axis of x·y. */
export const ROW_DOT = program('attention row dot', 2, 0, (b, x, y) => b.rowSum(b.mul(x, y)))

/** Gradient of the scores: weights·(dWeights − delta), 0 for an excluded pair. */
export const PAIR_GRADIENT = program('attention pair gradient', 4, 0, (b, weights, dWeights, delta, scores) =>
  b.select(b.eq(scores, b.constant(Number.NEGATIVE_INFINITY)), b.constant(0), b.mul(weights, b.sub(dWeights, delta))),
)
