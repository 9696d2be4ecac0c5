// Which noise goes with which data of a batch: minibatch optimal transport (Pooladian et al., "Multisample Flow Matching", arXiv:2304.14772;
// Tong et al., arXiv:2302.00482), which straightens the paths, taking the condition into account (Cheng & Schwing, "The Curse of Conditions",
// C²OT, arXiv:2503.10636).

import { hostUniform, type RngKey } from '@ditkit/core'
import { linearAssignment } from './assignment'
import { type SinkhornOptions, sinkhorn } from './sinkhorn'

interface CouplingTerms {
  /**
   * [count, c], any c: labels, embeddings, the number of the scene a pose belongs to. Row i of noise belongs to the condition of row i of data.
   * Without it the noise that a condition sees depends on the other conditions of the batch, while sampling draws noise that does not, which
   * is known to hurt conditional generation.
   */
  condition?: ArrayLike<number>
  /**
   * w in cost ‖x0 − x1‖² + w·‖c − c'‖². Default Infinity: noise and data couple only where their conditions are equal, as suits labels and
   * scenes; for embeddings, which are all different, a finite one.
   */
  conditionWeight?: number
  /** [count]: 1 = takes part; rows of 0 keep their own noise, and may hold anything. Default: all take part. */
  mask?: ArrayLike<number>
}

export type CouplingOptions = CouplingTerms &
  (
    | { method: 'exact' }
    | ({
        method: 'sinkhorn'
        /** Draws the pairs from the plan. */
        key: RngKey
      } & SinkhornOptions)
  )

export interface Coupling {
  /** [count]: row indices[i] of the noise goes with row i of the data. A permutation when exact. */
  readonly indices: Int32Array
  /** Of Sinkhorn: the most iterations that any group of rows took, and how far from 1 a row of its plan may sum. */
  readonly iterations: number
  readonly marginalError: number
  readonly converged: boolean
}

/**
 * Couples `count` rows of noise x0 with as many of data x1 (both [count, …] on the host) to make Σ‖x0 − x1‖² small. 'exact' finds the best
 * permutation, in O(n³); 'sinkhorn' draws each data row's noise from the entropy-regularised plan, so a noise may serve twice or never.
 *
 * For sets of poses, [B, G, d] with a mask [B, G], couple within each scene: count = B·G, condition = the scene's number for each pose,
 * mask. A function of its arguments alone.
 * @throws RangeError where lengths do not fit, a mask is not 0 or 1, or a row that takes part is not finite.
 */
export function coupleNoise(
  x0: ArrayLike<number>,
  x1: ArrayLike<number>,
  count: number,
  options: CouplingOptions,
): Coupling {
  const { method, condition, conditionWeight = Number.POSITIVE_INFINITY, mask } = options
  if (method !== 'exact' && method !== 'sinkhorn')
    throw new RangeError(`coupleNoise: method '${method}' is unknown (expected 'exact' or 'sinkhorn')`)
  if (!Number.isInteger(count) || count < 1)
    throw new RangeError(`coupleNoise: count is ${count} (expected a whole number ≥ 1)`)
  if (!(conditionWeight >= 0))
    throw new RangeError(`coupleNoise: conditionWeight is ${conditionWeight} (expected 0 to Infinity)`)
  if (x0.length !== x1.length)
    throw new RangeError(`coupleNoise: x0 has ${x0.length} numbers but x1 has ${x1.length} (expected the same)`)
  const rows = validRows(mask, count)
  const noise = rowsOf('x0', x0, count, rows)
  const data = rowsOf('x1', x1, count, rows)
  const conditions = condition && rowsOf('condition', condition, count, rows)

  const apart = conditions && conditionWeight === Number.POSITIVE_INFINITY
  const indices = Int32Array.from({ length: count }, (_, i) => i)
  let [iterations, marginalError, converged] = [0, 0, true]
  for (const group of apart ? groupsOf(conditions, rows) : [rows]) {
    const n = group.length
    if (n < 2) continue
    const cost = new Float64Array(n * n)
    addDistances(cost, group, data, noise, 1)
    if (conditions && !apart) addDistances(cost, group, conditions, conditions, conditionWeight)
    if (!cost.every(Number.isFinite))
      throw new RangeError(
        'coupleNoise: a squared distance is too large for a number; scale the data or conditionWeight',
      )
    let chosen: Int32Array
    if (options.method === 'exact') chosen = linearAssignment(cost, n)
    else {
      const plan = sinkhorn(cost, n, options)
      iterations = Math.max(iterations, plan.iterations)
      marginalError = Math.max(marginalError, plan.marginalError)
      converged &&= plan.converged
      chosen = drawPairs(plan.weights, n, hostUniform(options.key.foldIn(group[0]), n))
    }
    for (let i = 0; i < n; i++) indices[group[i]] = group[chosen[i]]
  }
  return { indices, iterations, marginalError, converged }
}

/** Rows `indices` of values [indices.length, …], in that order. */
export function takeRows(values: Float32Array, indices: ArrayLike<number>): Float32Array {
  const width = values.length / indices.length
  const out = new Float32Array(values.length)
  for (let i = 0; i < indices.length; i++)
    out.set(values.subarray(indices[i] * width, (indices[i] + 1) * width), i * width)
  return out
}

interface Rows {
  readonly values: ArrayLike<number>
  readonly width: number
}

function validRows(mask: ArrayLike<number> | undefined, count: number): number[] {
  if (mask && mask.length !== count)
    throw new RangeError(`coupleNoise: mask has ${mask.length} entries but there are ${count} rows`)
  const rows: number[] = []
  for (let i = 0; i < count; i++) {
    if (mask && mask[i] !== 0 && mask[i] !== 1)
      throw new RangeError(`coupleNoise: mask[${i}] is ${mask[i]} (expected 0 or 1)`)
    if (!mask || mask[i] === 1) rows.push(i)
  }
  return rows
}

function rowsOf(name: string, values: ArrayLike<number>, count: number, rows: readonly number[]): Rows {
  const width = values.length / count
  if (!Number.isInteger(width) || width < 1)
    throw new RangeError(
      `coupleNoise: ${name} has ${values.length} numbers, which is not ${count} rows of equal length`,
    )
  for (const row of rows) {
    for (let k = row * width; k < (row + 1) * width; k++) {
      if (!Number.isFinite(values[k]))
        throw new RangeError(`coupleNoise: row ${row} of ${name} holds ${values[k]} (mask such rows: mask[${row}] = 0)`)
    }
  }
  return { values, width }
}

/** The rows of each condition, in order of first appearance. */
function groupsOf({ values, width }: Rows, rows: readonly number[]): number[][] {
  const groups = new Map<string | number, number[]>()
  for (const row of rows) {
    // −0 and 0 are one condition.
    const name = width === 1 ? values[row] : Array.from({ length: width }, (_, k) => values[row * width + k] + 0).join()
    const group = groups.get(name)
    if (group) group.push(row)
    else groups.set(name, [row])
  }
  return [...groups.values()]
}

/** cost[i, j] += weight·‖a of row group[i] − b of row group[j]‖². */
function addDistances(cost: Float64Array, group: readonly number[], a: Rows, b: Rows, weight: number): void {
  const n = group.length
  const { width } = a
  for (let i = 0; i < n; i++) {
    const left = group[i] * width
    for (let j = 0; j < n; j++) {
      const right = group[j] * width
      let sum = 0
      for (let k = 0; k < width; k++) {
        const difference = a.values[left + k] - b.values[right + k]
        sum += difference * difference
      }
      cost[i * n + j] += weight * sum
    }
  }
}

/** For each row of the plan [n, n] a column, drawn by its weights with one uniform number. */
function drawPairs(weights: Float64Array, n: number, uniform: Float64Array): Int32Array {
  return Int32Array.from({ length: n }, (_, i) => {
    const row = weights.subarray(i * n, (i + 1) * n)
    let left = uniform[i] * row.reduce((sum, w) => sum + w, 0)
    // Rounding may leave a rest at the end: it belongs to the last column that has any weight.
    let last = 0
    for (let j = 0; j < n; j++) {
      if (row[j] === 0) continue
      last = j
      left -= row[j]
      if (left < 0) break
    }
    return last
  })
}
