// A dense bias to factors by singular value decomposition where that pays; else the bias as it was, with the reason.

import {
  type AttentionOptions,
  concat,
  detach,
  disposeAll,
  pad,
  permute,
  reshape,
  scopeAsync,
  type Tensor,
} from '@ditkit/core'
import type { FactoredBias } from '../factors'
import { biasTensor, maskTensor } from '../mask/bias-shape'
import { allowedPairs } from '../mask/split-bias'
import { surveyBias } from '../mask/survey'
import type { MatrixReport } from './attempt'
import { BiasMatrix, matrixOf } from './bias-matrix'
import type { MatrixFactors } from './dominant-subspace'
import { factorizeMatrix } from './factorize-matrix'
import { type FactorizeOptions, type FactorizePlan, planOf } from './options'

export interface FactoredResult {
  readonly kind: 'factored'
  /** What attention takes: the factors, and the mask if there is one. */
  readonly options: Pick<AttentionOptions, 'factoredBias' | 'mask'>
  /** query [B|1, Lq, H|1, R] and key [B|1, Lk, H|1, R]; off the tape. */
  readonly factoredBias: FactoredBias
  /** bool [B|1, H|1, Lq, Lk]: false where the bias was −Infinity or masked. Absent when that is nowhere. */
  readonly mask?: Tensor
  /** R: the highest rank of any matrix. */
  readonly rank: number
  /** The share of the sum of squares that is kept, of the matrix that keeps least. */
  readonly energy: number
  /** Of the whole bias: ‖bias − factors‖ (Frobenius), the same over ‖bias‖, and the largest error of an entry. */
  readonly residual: { readonly frobenius: number; readonly relative: number; readonly largest: number }
  /** Per matrix, samples before heads. */
  readonly matrices: readonly MatrixReport[]
}

export interface DenseResult {
  readonly kind: 'dense'
  /** Why factors do not pay. */
  readonly reason: string
  /** What attention takes: the bias and mask as they were given. */
  readonly options: Pick<AttentionOptions, 'bias' | 'mask'>
}

/** `attention(q, k, v, result.options)` is right for both kinds. */
export type Factorization = FactoredResult | DenseResult

/**
 * A bias [Lq, Lk] or [B|1, H|1, Lq, Lk] as the factors of smallest rank that keep the energy (share of the sum of squares) and the tolerance asked
 * for; each sample and head is a matrix of its own, unless heads are 'shared'. −Infinity and what `mask` excludes becomes a mask; the factors are fitted to
 * the rest (up to rank 12; beyond, with 0 in the blocked places). The bias is read in blocks: beside it are needed the factors (some
 * times over), some 8 MB, and a bool mask where something is blocked. Says once when a query or a
 * sample may attend to nothing.
 *
 * Energy alone can mislead: a band of 0 in −10 reaches 99 % with single entries off by half. Hence the default of `tolerance`; ask for a
 * small one where single entries matter, and look at `residual.largest`.
 * @throws RangeError for NaN or +Infinity outside the mask, options out of range, shapes that do not go together.
 */
export async function factorize(bias: Tensor, options: FactorizeOptions = {}): Promise<Factorization> {
  const op = 'factorize'
  return scopeAsync(async s => {
    const whole = s.run(() => detach(biasTensor(op, bias)))
    const [batch, heads, queries, keys] = whole.shape
    const stacked = options.heads === 'shared' ? heads : 1
    const plan = planOf(op, options, stacked * queries, keys)
    const mask = options.mask && s.run(() => maskTensor(op, options.mask, whole))
    const survey = await surveyBias(op, whole, mask)
    const dense = (reason: string): DenseResult => ({
      kind: 'dense',
      reason: `factorize: ${reason}; attention takes the bias as it is`,
      options: options.mask ? { bias, mask: options.mask } : { bias },
    })
    if (plan.limit < 1) return dense(`factors of any rank take more memory than a bias of ${queries} × ${keys}`)
    const allowed = survey.blocked.some(Boolean) ? s.run(() => allowedPairs(whole, mask)) : undefined
    const rows = stacked * queries
    const count = (batch * heads) / stacked
    const asMatrices = (t: Tensor) => reshape(t, [count, rows, keys])
    const [values, open] = s.run(() => [asMatrices(whole), allowed && asMatrices(allowed)])
    const made: MatrixFactors[] = []
    const reports: MatrixReport[] = []
    try {
      for (let i = 0; i < count; i++) {
        const of = (perRow: readonly number[]) => perRow.slice(i * rows, (i + 1) * rows)
        const tolerance = plan.tolerance ?? defaultTolerance(of(survey.highest), of(survey.lowest))
        const matrix = new BiasMatrix(
          s.run(() => matrixOf(values, i)),
          open && s.run(() => matrixOf(open, i)),
          of(survey.squares).reduce((sum, x) => sum + x, 0),
        )
        const result = await factorizeMatrix(matrix, { ...plan, tolerance, key: plan.key.foldIn(i) })
        if ('reason' in result) return dense(`${placeOf(i, heads / stacked, batch)}${result.reason}${limitNote(plan)}`)
        made.push(result.factors)
        reports.push({ rank: result.rank, energy: result.energy, residual: result.residual })
      }
      const factoredBias = s.run(() => assembled(made, { batch, heads, queries, keys, stacked }))
      return factored(factoredBias, allowed, reports, survey.squares)
    } finally {
      disposeAll(made.flatMap(({ query, key }) => [query, key]))
    }
  })
}

/** Error of an entry that no share of energy excuses: a third of the range. (Of a constant, what rounding leaves.) */
function defaultTolerance(highest: readonly number[], lowest: readonly number[]): number {
  const [high, low] = [Math.max(...highest), Math.min(...lowest)]
  return high < low ? 1 : Math.max((high - low) / 3, 1e-4 * Math.max(Math.abs(high), Math.abs(low)))
}

function placeOf(index: number, heads: number, batch: number): string {
  if (heads * batch === 1) return ''
  const sample = batch > 1 ? `sample ${Math.floor(index / heads)}` : ''
  const head = heads > 1 ? `head ${index % heads}` : ''
  return `${[sample, head].filter(Boolean).join(', ')}: `
}

function limitNote({ limitGiven }: FactorizePlan): string {
  return limitGiven ? ' (maxRank)' : ', and a higher rank would not pay in time or memory (maxRank accepts one)'
}

function factored(
  factoredBias: FactoredBias,
  mask: Tensor | undefined,
  matrices: readonly MatrixReport[],
  squares: readonly number[],
): FactoredResult {
  const whole = Math.sqrt(squares.reduce((sum, x) => sum + x, 0))
  const frobenius = Math.sqrt(matrices.reduce((sum, { residual }) => sum + residual.squares, 0))
  return {
    kind: 'factored',
    options: mask ? { factoredBias, mask } : { factoredBias },
    factoredBias,
    ...(mask && { mask }),
    rank: factoredBias.query.shape[3],
    energy: Math.min(...matrices.map(({ energy }) => energy)),
    residual: {
      frobenius,
      relative: whole === 0 ? 0 : frobenius / whole,
      largest: Math.max(...matrices.map(({ residual }) => residual.largest)),
    },
    matrices,
  }
}

interface Sizes {
  readonly batch: number
  readonly heads: number
  readonly queries: number
  readonly keys: number
  /** Heads that are one matrix. */
  readonly stacked: number
}

/** The factors of all matrices, by sample and head, as attention takes them; lower ranks are filled up with 0. */
function assembled(made: readonly MatrixFactors[], { batch, heads, queries, keys, stacked }: Sizes): FactoredBias {
  const rank = Math.max(...made.map(({ query }) => query.shape[1]))
  const side = (name: 'query' | 'key', tokens: number, perSample: number) => {
    const filled = made.map(factors =>
      pad(factors[name], [
        [0, 0],
        [0, rank - factors[name].shape[1]],
      ]),
    )
    const whole = filled.length === 1 ? filled[0] : concat(filled, 0)
    return permute(reshape(whole, [batch, perSample, tokens, rank]), [0, 2, 1, 3])
  }
  return { query: side('query', queries, heads), key: side('key', keys, heads / stacked) }
}
