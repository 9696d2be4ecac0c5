// Entropy-regularised optimal transport between n and n equal weights (Cuturi, "Sinkhorn Distances", arXiv:1306.0895), in the log domain,
// where a small ε underflows nothing.

export interface SinkhornOptions {
  /**
   * ε as a share of the costs' spread (the standard deviation of what rows and columns do not add alone, which no plan can change), so that
   * it means the same in any units and dimension; default 0.2. Towards 0 the plan becomes the exact assignment, and needs more iterations.
   */
  epsilon?: number
  /** At most; default 1000. */
  iterations?: number
  /** Stop once no row of n·plan sums to more than this off 1; default 1e-3. */
  tolerance?: number
}

export interface Plan {
  /** [n, n]: n·P, so that rows and columns sum to 1; columns exactly, rows within marginalError. */
  readonly weights: Float64Array
  readonly iterations: number
  readonly marginalError: number
  readonly converged: boolean
}

/** The plan P that makes ⟨P, cost⟩ − ε·entropy(P) least; cost [n, n], finite. */
export function sinkhorn(cost: Float64Array, n: number, options: SinkhornOptions = {}): Plan {
  const { epsilon = 0.2, iterations = 1000, tolerance = 1e-3 } = options
  if (!(epsilon > 0 && Number.isFinite(epsilon)))
    throw new RangeError(`sinkhorn: epsilon is ${epsilon} (expected above 0)`)
  if (!Number.isInteger(iterations) || iterations < 1)
    throw new RangeError(`sinkhorn: iterations is ${iterations} (expected a whole number ≥ 1)`)
  if (!(tolerance > 0)) throw new RangeError(`sinkhorn: tolerance is ${tolerance} (expected above 0)`)
  const scale = epsilon * spread(cost, n)
  // Costs that prefer no pair to another leave the plan uniform.
  const scores = cost.map(c => (scale > 0 ? -c / scale : 0))
  const columns = new Float64Array(n)
  let rows = rowPotentials(scores, n, columns)
  updateColumns(scores, n, rows, columns)
  for (let done = 1; ; done++) {
    const next = rowPotentials(scores, n, columns)
    // What a row of the plan sums to is by how much its potential would move.
    const marginalError = rows.reduce((worst, row, i) => Math.max(worst, Math.abs(Math.exp(row - next[i]) - 1)), 0)
    const converged = marginalError <= tolerance
    if (converged || done === iterations) {
      const weights = scores.map((score, at) => Math.exp(score + rows[Math.floor(at / n)] + columns[at % n]))
      return { weights, iterations: done, marginalError, converged }
    }
    rows = next
    updateColumns(scores, n, rows, columns)
  }
}

/** f with Σ_j exp(score[i, j] + f[i] + columns[j]) = 1. */
function rowPotentials(scores: Float64Array, n: number, columns: Float64Array): Float64Array {
  return Float64Array.from({ length: n }, (_, i) => {
    const row = scores.subarray(i * n, (i + 1) * n)
    let top = Number.NEGATIVE_INFINITY
    for (let j = 0; j < n; j++) top = Math.max(top, row[j] + columns[j])
    let sum = 0
    for (let j = 0; j < n; j++) sum += Math.exp(row[j] + columns[j] - top)
    return -top - Math.log(sum)
  })
}

/** Sets g so that Σ_i exp(score[i, j] + rows[i] + g[j]) = 1; row by row, as the scores lie in memory. */
function updateColumns(scores: Float64Array, n: number, rows: Float64Array, columns: Float64Array): void {
  const tops = new Float64Array(n).fill(Number.NEGATIVE_INFINITY)
  const sums = new Float64Array(n)
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) tops[j] = Math.max(tops[j], scores[i * n + j] + rows[i])
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) sums[j] += Math.exp(scores[i * n + j] + rows[i] - tops[j])
  for (let j = 0; j < n; j++) columns[j] = -tops[j] - Math.log(sums[j])
}

/** Root mean square of the cost without its rows' and columns' means; 0 where rounding is all there is. */
function spread(cost: Float64Array, n: number): number {
  const rows = new Float64Array(n)
  const columns = new Float64Array(n)
  cost.forEach((c, at) => {
    rows[Math.floor(at / n)] += c / n
    columns[at % n] += c / n
  })
  const mean = rows.reduce((sum, row) => sum + row, 0) / n
  const squares = cost.reduce((sum, c, at) => sum + (c - rows[Math.floor(at / n)] - columns[at % n] + mean) ** 2, 0)
  const result = Math.sqrt(squares) / n
  return result > 1e-12 * Math.abs(mean) ? result : 0
}
