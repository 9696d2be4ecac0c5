// Factors of a matrix of which entries are blocked, here and there: they need not be 0 there, nor anything else, so a lower rank may do than the
// singular value decomposition finds. By alternating least squares over what is not blocked (Hastie et al. 2015, arXiv:1410.2596).

import { mul, reshape, scope, scopeAsync, type Tensor, unscoped } from '@ditkit/core'
import { type Attempt, discard, measured } from './attempt'
import type { BiasMatrix } from './bias-matrix'
import type { DominantSubspace, MatrixFactors } from './dominant-subspace'
import type { MatrixGoal, MatrixResult } from './factorize-matrix'
import { orthonormalRows } from './orthonormal-rows'
import { solveRows } from './solve-rows'

/** Beyond that its products, R² to a token, cost more than a lower rank saves. */
const MOST_RANK = 12
const MOST_SWEEPS = 12
/** A sweep that makes the residual less than this share smaller is the last. */
const LEAST_GAIN = 0.02

/** The decomposition's result, or one of lower rank (or, at a given rank, of lower residual) that fits what is not blocked. */
export async function completed(
  matrix: BiasMatrix,
  subspace: DominantSubspace,
  goal: MatrixGoal,
  decomposed: MatrixResult,
): Promise<MatrixResult> {
  const pattern = matrix.pattern()
  if (!pattern || matrix.squares === 0 || (await isRectangular(pattern))) return decomposed
  const success = (found: Attempt) =>
    found.energy >= (goal.energy ?? 1) - 1e-12 && found.residual.largest <= goal.tolerance
  const at = (rank: number) => fitted(matrix, pattern, subspace, rank, success)
  if (goal.energy === undefined && 'factors' in decomposed) {
    if (decomposed.rank > MOST_RANK) return decomposed
    const own = await at(decomposed.rank)
    const [better, other] = own.residual.squares < decomposed.residual.squares ? [own, decomposed] : [decomposed, own]
    discard(other)
    return better
  }
  const most = Math.min(MOST_RANK, goal.limit, subspace.size, 'factors' in decomposed ? decomposed.rank - 1 : MOST_RANK)
  let found: Attempt | undefined
  let [low, rank] = [0, 1]
  while (!found && low < most) {
    const next = await at(rank)
    if (success(next)) found = next
    else {
      discard(next)
      low = rank
      rank = Math.min(most, 2 * rank)
    }
  }
  if (!found) return decomposed
  while (found.rank - low > 1) {
    const next = await at(Math.floor((low + found.rank) / 2))
    const [better, other]: [boolean, Attempt] = success(next) ? [true, found] : [false, next]
    discard(other)
    if (better) found = next
    else low = next.rank
  }
  if ('factors' in decomposed) discard(decomposed)
  return found
}

/** Whether only whole rows and columns are blocked: then 0 is right there, and the decomposition's rank the lowest. */
async function isRectangular(pattern: BiasMatrix): Promise<boolean> {
  return scopeAsync(async s => {
    const { device, dtype, rows, columns } = pattern
    const counts = s.run(() => [
      pattern.timesRows(device.ones([1, columns], { dtype })),
      pattern.timesColumns(device.ones([1, rows], { dtype })),
    ])
    const [inRows, inColumns] = await Promise.all(counts.map(async t => Array.from(await t.data())))
    const open = (list: readonly number[]) => list.filter(n => n > 0).length
    return inRows.reduce((sum, n) => sum + n, 0) === open(inRows) * open(inColumns)
  })
}

/** Sweeps from the decomposition's key factor until it succeeds or gains little any more. */
async function fitted(
  matrix: BiasMatrix,
  pattern: BiasMatrix,
  subspace: DominantSubspace,
  rank: number,
  success: (found: Attempt) => boolean,
): Promise<Attempt> {
  let key = await rowsOf(unscoped(() => subspace.factors(rank)))
  let last: Attempt | undefined
  for (let sweep = 0; ; sweep++) {
    const query = orthonormalRows(await halfSweep(matrix, pattern, key, rank, 'rows'), rank, matrix.rows)
    key = await halfSweep(matrix, pattern, query, rank, 'columns')
    const next = await measured(
      matrix,
      unscoped(() => balanced(matrix, query, key, rank)),
    )
    const gains = !last || next.residual.squares < (1 - LEAST_GAIN) ** 2 * last.residual.squares
    if (last) discard(last)
    if (success(next) || !gains || sweep + 1 === MOST_SWEEPS) return next
    last = next
  }
}

/** The key factor [columns, R], as R rows on the host; frees both factors. */
async function rowsOf({ query, key }: MatrixFactors): Promise<Float64Array> {
  query.dispose()
  const [columns, rank] = key.shape
  const values = await key.data()
  key.dispose()
  return Float64Array.from({ length: rank * columns }, (_, i) => values[(i % columns) * rank + Math.floor(i / columns)])
}

/** The factor [R, rows] (or columns) that fits best beside the other one, `fixed`: least squares for every token by itself. */
async function halfSweep(
  matrix: BiasMatrix,
  pattern: BiasMatrix,
  fixed: Float64Array,
  rank: number,
  side: 'rows' | 'columns',
): Promise<Float64Array> {
  const [tokens, others] = side === 'rows' ? [matrix.rows, matrix.columns] : [matrix.columns, matrix.rows]
  const times = (of: BiasMatrix, x: Tensor) => (side === 'rows' ? of.timesRows(x) : of.timesColumns(x))
  return scopeAsync(async s => {
    const products = s.run(() => {
      const { device, dtype } = matrix
      const factor = device.tensor(fixed, [rank, others], { dtype })
      const pairs = mul(reshape(factor, [rank, 1, others]), reshape(factor, [1, rank, others]))
      return [times(pattern, reshape(pairs, [rank * rank, others])), times(matrix, factor)]
    })
    const [normal, right] = await Promise.all(products.map(t => t.data()))
    return solveRows(normal, right, rank, tokens)
  })
}

/** As factors of equal size. */
function balanced(matrix: BiasMatrix, query: Float64Array, key: Float64Array, rank: number): MatrixFactors {
  const { columns } = matrix
  const norms = Array.from({ length: rank }, (_, r) =>
    Math.sqrt(key.subarray(r * columns, (r + 1) * columns).reduce((sum, x) => sum + x * x, 0)),
  )
  return scope(() => {
    const { device, dtype } = matrix
    const side = (values: Float64Array, tokens: number, power: number) =>
      device.tensor(
        Float64Array.from({ length: tokens * rank }, (_, i) => {
          const r = i % rank
          return values[r * tokens + Math.floor(i / rank)] * (norms[r] || 1) ** power
        }),
        [tokens, rank],
        { dtype },
      )
    return { query: side(query, matrix.rows, 0.5), key: side(key, columns, -0.5) }
  })
}
