// Looks for the smallest rank that keeps a share of a matrix's energy: turns and widens the subspace until the answer no longer changes.

import type { RngKey } from '@ditkit/core'
import type { BiasMatrix } from './bias-matrix'
import { type DominantSubspace, OVERSAMPLING } from './dominant-subspace'

/** Directions to begin with, besides those carried along. */
const FIRST_RANK = 16
const MOST_PASSES = 12

/** How far the sums of squares of a dtype can be off, as a share of them. */
export const ENERGY_ROUNDING = { f32: 1e-5, f64: 1e-11 } as const

export interface LeadingRank {
  /** The smallest rank that keeps the energy; undefined when `limit` does not. Without an energy: `limit`, or the matrix's own rank. */
  readonly rank: number | undefined
  /** The share kept at that rank, or at the limit. */
  readonly share: number
}

/** Σ of the first k squares, as shares of the whole: entry k is for rank k + 1. */
function shares(subspace: DominantSubspace, matrix: BiasMatrix): number[] {
  let sum = 0
  return Array.from(subspace.values, value => {
    sum += Math.max(0, value)
    return matrix.squares === 0 ? 1 : Math.min(1, sum / matrix.squares)
  })
}

export async function leadingRank(
  matrix: BiasMatrix,
  subspace: DominantSubspace,
  goal: { readonly energy: number | undefined; readonly limit: number; readonly key: RngKey; readonly full: boolean },
): Promise<LeadingRank> {
  const { energy, limit, key, full } = goal
  const rounding = ENERGY_ROUNDING[matrix.dtype as 'f32' | 'f64']
  const wanted = energy === undefined ? 1 - rounding : energy - rounding
  const answer = (kept: readonly number[]): LeadingRank => {
    const reaching = kept.findIndex(share => share >= wanted) + 1
    if (energy === undefined) {
      const rank = Math.min(limit, reaching || kept.length)
      return { rank, share: kept[rank - 1] }
    }
    if (reaching > 0 && reaching <= limit) return { rank: reaching, share: kept[reaching - 1] }
    return { rank: undefined, share: kept[Math.min(limit, kept.length) - 1] }
  }
  if (full) {
    await subspace.takeAll()
    return answer(shares(subspace, matrix))
  }
  const widest = Math.min(subspace.most, limit + OVERSAMPLING)
  let size = Math.min(widest, FIRST_RANK + OVERSAMPLING)
  let before: { kept: number[]; found: LeadingRank } | undefined
  for (let pass = 1; ; pass++) {
    await subspace.improve(size, key.foldIn(pass))
    const kept = shares(subspace, matrix)
    const found = answer(kept)
    const room = found.rank === undefined ? widest : Math.min(widest, found.rank + OVERSAMPLING)
    if (size < room) {
      size = Math.min(widest, 2 * size)
      before = undefined
      continue
    }
    if (pass >= MOST_PASSES || (before && isSettled(before, { kept, found }, wanted, limit))) return found
    before = { kept, found }
  }
}

/**
 * Shares only grow from pass to pass, by less each time: whether what is still to come can change the answer, or what is kept by much.
 */
function isSettled(
  before: { kept: readonly number[]; found: LeadingRank },
  now: { kept: readonly number[]; found: LeadingRank },
  wanted: number,
  limit: number,
): boolean {
  if (before.found.rank !== now.found.rank) return false
  const growth = (rank: number) => Math.abs(now.kept[rank - 1] - before.kept[rank - 1])
  const { rank } = now.found
  if (rank !== undefined && growth(rank) > 1e-7 + 2e-4 * (1 - now.kept[rank - 1])) return false
  // The rank that must stay short of the goal for the answer to stand.
  const short = rank === undefined ? Math.min(limit, now.kept.length) : rank - 1
  return short === 0 || growth(short) < 1e-7 || wanted - now.kept[short - 1] > 2 * growth(short)
}
