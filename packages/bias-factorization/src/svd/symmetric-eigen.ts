// Eigenvalues and eigenvectors of a small symmetric matrix, on the host, by cyclic Jacobi rotations (Golub and Van Loan,
// Matrix Computations, section 8.5).

export interface SymmetricEigen {
  /** Largest first. */
  readonly values: Float64Array
  /** n × n, row k the eigenvector of values[k]. */
  readonly vectors: Float64Array
}

const MOST_SWEEPS = 30

/** Of a symmetric matrix n × n, row-major; left as it is. */
export function symmetricEigen(matrix: ArrayLike<number>, n: number): SymmetricEigen {
  const a = Float64Array.from({ length: n * n }, (_, k) => (matrix[k] + matrix[(k % n) * n + Math.floor(k / n)]) / 2)
  // Rows of v become the eigenvectors.
  const v = Float64Array.from({ length: n * n }, (_, k) => (k % (n + 1) === 0 ? 1 : 0))
  const whole = a.reduce((sum, x) => sum + x * x, 0)
  for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
    let beside = 0
    for (let p = 0; p < n; p++) for (let q = 0; q < p; q++) beside += a[p * n + q] ** 2
    if (beside <= 1e-32 * whole) break
    for (let p = 0; p < n - 1; p++) for (let q = p + 1; q < n; q++) rotate(a, v, n, p, q)
  }
  const order = Array.from({ length: n }, (_, k) => k).sort((x, y) => a[y * n + y] - a[x * n + x])
  const vectors = new Float64Array(n * n)
  for (const [row, k] of order.entries()) vectors.set(v.subarray(k * n, (k + 1) * n), row * n)
  return { values: Float64Array.from(order, k => a[k * n + k]), vectors }
}

/** Makes a[p][q] zero, where it matters beside the diagonal. */
function rotate(a: Float64Array, v: Float64Array, n: number, p: number, q: number): void {
  const apq = a[p * n + q]
  if (apq * apq <= 1e-32 * Math.abs(a[p * n + p] * a[q * n + q])) return
  const theta = (a[q * n + q] - a[p * n + p]) / (2 * apq)
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1))
  const c = 1 / Math.sqrt(t * t + 1)
  const s = t * c
  turn(a, p * n, q * n, 1, n, c, s)
  turn(a, p, q, n, n, c, s)
  turn(v, p * n, q * n, 1, n, c, s)
}

/** (x, y) → (c·x − s·y, s·x + c·y) along two rows or columns of n numbers. */
function turn(m: Float64Array, first: number, second: number, step: number, n: number, c: number, s: number): void {
  for (let k = 0, i = first, j = second; k < n; k++, i += step, j += step) {
    const x = m[i]
    const y = m[j]
    m[i] = c * x - s * y
    m[j] = s * x + c * y
  }
}
