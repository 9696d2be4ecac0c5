// What one can ask of `factorize`, and the checks of it.

import { RngKey, rngKey, type Tensor } from '@ditkit/core'
import { payingRank } from './paying-rank'

export interface FactorizeOptions {
  /** Share of the bias's sum of squares to keep, per matrix. Default 0.99 when neither `maxRank` nor `tolerance` is given. */
  readonly energy?: number
  /**
   * The highest rank to accept. Default: what pays (see `payingRank`). Without energy and tolerance: the rank to make, less where the bias
   * has less.
   */
  readonly maxRank?: number
  /**
   * The largest error of an entry, in the bias's own units: 0.05 changes an attention weight by about 5 %. Where an energy is asked for, the
   * default is a third of the matrix's range (a high energy can hide single entries that are wholly wrong); Infinity allows any.
   */
  readonly tolerance?: number
  /** bool, true = may attend, broadcastable to the bias. What it leaves out may hold anything and is not part of the factors. */
  readonly mask?: Tensor
  /** 'each' (default): every head has factors of its own. 'shared': all heads share the key's factor, which is most of the memory when Lk is large. */
  readonly heads?: 'each' | 'shared'
  /** 'auto' (default): 'full' up to 128 tokens on the shorter side and a million entries, else 'randomized'. */
  readonly method?: 'auto' | 'full' | 'randomized'
  /** Of the random directions that the randomized method starts from. */
  readonly key?: RngKey
}

/** The options, checked, for matrices of `rows` × `columns`. */
export interface FactorizePlan {
  /** Absent: `limit` ranks. */
  readonly energy: number | undefined
  /** Absent: that of the matrix. */
  readonly tolerance: number | undefined
  readonly limit: number
  /** Whether the caller chose the limit. */
  readonly limitGiven: boolean
  readonly full: boolean
  readonly key: RngKey
}

const LARGEST_FULL = { side: 128, entries: 2 ** 20 }

export function planOf(op: string, options: FactorizeOptions, rows: number, columns: number): FactorizePlan {
  const { energy, maxRank, tolerance, mask: _, heads = 'each', method = 'auto', key = rngKey(0), ...unknown } = options
  for (const name of Object.keys(unknown)) {
    throw new TypeError(
      `${op}: there is no option ${name} (expected energy, tolerance, maxRank, mask, heads, method or key)`,
    )
  }
  if (energy !== undefined && !(energy > 0 && energy <= 1)) {
    throw new RangeError(`${op}: energy is ${energy} (expected a share above 0 and up to 1, as 0.99)`)
  }
  if (tolerance !== undefined && !(tolerance > 0)) {
    throw new RangeError(`${op}: tolerance is ${tolerance} (expected a number above 0, in the bias's own units)`)
  }
  if (maxRank !== undefined && (!Number.isInteger(maxRank) || maxRank < 1)) {
    throw new RangeError(`${op}: maxRank is ${maxRank} (expected a whole number above 0)`)
  }
  if (maxRank !== undefined && maxRank > Math.max(rows, columns)) {
    throw new RangeError(
      `${op}: maxRank is ${maxRank}, larger than both sides of a bias of ${rows} × ${columns} (expected at most ${Math.min(rows, columns)})`,
    )
  }
  if (heads !== 'each' && heads !== 'shared')
    throw new RangeError(`${op}: heads is ${heads} (expected 'each' or 'shared')`)
  if (method !== 'auto' && method !== 'full' && method !== 'randomized') {
    throw new RangeError(`${op}: method is ${method} (expected 'auto', 'full' or 'randomized')`)
  }
  if (!(key instanceof RngKey)) throw new TypeError(`${op}: key is ${typeof key} (expected an RngKey)`)
  const shorter = Math.min(rows, columns)
  const small = shorter <= LARGEST_FULL.side && rows * columns <= LARGEST_FULL.entries
  const rankOnly = energy === undefined && tolerance === undefined && maxRank !== undefined
  return {
    // A tolerance alone asks for no energy.
    energy: energy ?? (rankOnly ? undefined : tolerance === undefined ? 0.99 : 0),
    tolerance: rankOnly ? Number.POSITIVE_INFINITY : tolerance,
    limit: Math.min(shorter, maxRank ?? payingRank(rows, columns)),
    limitGiven: maxRank !== undefined,
    full: method === 'full' || (method === 'auto' && small),
    key,
  }
}
