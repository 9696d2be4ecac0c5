// One matrix to factors: the smallest rank that keeps the energy and the tolerance asked for, as measured on the matrix itself.

import { type RngKey, unscoped } from '@ditkit/core'
import { type Attempt, discard, type MatrixReport, measured } from './attempt'
import type { BiasMatrix } from './bias-matrix'
import { completed } from './completion'
import { DominantSubspace, OVERSAMPLING } from './dominant-subspace'
import { leadingRank } from './leading-rank'

export interface MatrixGoal {
  /** Share of the sum of squares to keep; absent: `limit` ranks, or as many as the matrix has. */
  readonly energy: number | undefined
  /** Largest error of an entry. */
  readonly tolerance: number
  /** The highest rank to accept. */
  readonly limit: number
  readonly key: RngKey
  readonly full: boolean
}

export type MatrixResult = Attempt | { readonly reason: string }

const percent = (share: number) => `${(100 * share).toPrecision(6)} %`

/** Factors that the caller disposes, or why there are none. */
export async function factorizeMatrix(matrix: BiasMatrix, goal: MatrixGoal): Promise<MatrixResult> {
  const subspace = new DominantSubspace(matrix)
  try {
    const result = await decomposed(matrix, subspace, goal)
    return await completed(matrix, subspace, goal, result)
  } finally {
    subspace.dispose()
  }
}

/** By singular value decomposition: what is blocked counts as 0. */
async function decomposed(matrix: BiasMatrix, subspace: DominantSubspace, goal: MatrixGoal): Promise<MatrixResult> {
  const { limit, tolerance, energy } = goal
  const { rank, share } = await leadingRank(matrix, subspace, goal)
  const short = (kept: number) => ({
    reason: `rank ${limit} keeps ${percent(kept)} of the energy, not ${percent(energy ?? 1)}`,
  })
  if (rank === undefined) return short(share)
  let found = await best(matrix, subspace, rank)
  // The spectrum is a sum of squares in the device's precision; what counts is what was measured.
  while (found.energy < (energy ?? 0) - 1e-12) {
    discard(found)
    if (found.rank === Math.min(limit, subspace.size)) return short(found.energy)
    found = await best(matrix, subspace, found.rank + 1)
  }
  if (found.residual.largest <= tolerance) return found
  discard(found)
  return withinTolerance(matrix, subspace, found, goal)
}

function best(matrix: BiasMatrix, subspace: DominantSubspace, rank: number): Promise<Attempt> {
  return measured(
    matrix,
    unscoped(() => subspace.factors(rank)),
  )
}

/** The smallest rank above `last` whose largest error is small enough: found in growing steps, then by bisection. */
async function withinTolerance(
  matrix: BiasMatrix,
  subspace: DominantSubspace,
  last: MatrixReport,
  { tolerance, limit, key }: MatrixGoal,
): Promise<MatrixResult> {
  const most = Math.min(limit, subspace.most)
  let [low, worst] = [last.rank, last.residual.largest]
  let high: Attempt | undefined
  for (let step = 1; !high; step *= 2) {
    const rank = Math.min(most, low + step)
    if (rank === low) {
      return {
        reason: `at rank ${low} an entry is still off by ${worst.toPrecision(3)}, not at most ${tolerance.toPrecision(3)}`,
      }
    }
    const size = Math.min(subspace.most, rank + OVERSAMPLING)
    for (let pass = 0; pass < 3 && subspace.size < subspace.most; pass++) {
      await subspace.improve(Math.max(size, subspace.size), key.foldIn(1000 * rank + pass))
    }
    const next = await best(matrix, subspace, rank)
    if (next.residual.largest <= tolerance) high = next
    else {
      discard(next)
      ;[low, worst] = [rank, next.residual.largest]
    }
  }
  while (high.rank - low > 1) {
    const next = await best(matrix, subspace, Math.floor((low + high.rank) / 2))
    const [better, other]: [boolean, Attempt] = next.residual.largest <= tolerance ? [true, high] : [false, next]
    discard(other)
    if (better) high = next
    else low = next.rank
  }
  return high
}
