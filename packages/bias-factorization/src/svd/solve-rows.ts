// Many small least-squares problems, on the host in float64, by Cholesky's decomposition.

/** What is added to a diagonal, as a share of its mean: a token with fewer entries than ranks has no single answer, and gets a small one. */
const RIDGE = 1e-7

/**
 * For each of `count` tokens t the x with M_t·x = b_t. `matrices` [R·R, count], symmetric; `rights` [R, count]; the result [R, count]. A
 * token whose matrix is 0 gets 0.
 */
export function solveRows(
  matrices: ArrayLike<number>,
  rights: ArrayLike<number>,
  rank: number,
  count: number,
): Float64Array {
  const result = new Float64Array(rank * count)
  const lower = new Float64Array(rank * rank)
  const x = new Float64Array(rank)
  for (let t = 0; t < count; t++) {
    let trace = 0
    for (let r = 0; r < rank; r++) trace += matrices[(r * rank + r) * count + t]
    if (!(trace > 0)) continue
    const ridge = (RIDGE * trace) / rank
    for (let i = 0; i < rank; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = matrices[(i * rank + j) * count + t] + (i === j ? ridge : 0)
        for (let k = 0; k < j; k++) sum -= lower[i * rank + k] * lower[j * rank + k]
        lower[i * rank + j] = i === j ? Math.sqrt(Math.max(sum, ridge)) : sum / lower[j * rank + j]
      }
    }
    for (let i = 0; i < rank; i++) {
      let sum = rights[i * count + t]
      for (let k = 0; k < i; k++) sum -= lower[i * rank + k] * x[k]
      x[i] = sum / lower[i * rank + i]
    }
    for (let i = rank - 1; i >= 0; i--) {
      let sum = x[i]
      for (let k = i + 1; k < rank; k++) sum -= lower[k * rank + i] * x[k]
      x[i] = sum / lower[i * rank + i]
      result[i * count + t] = x[i]
    }
  }
  return result
}
