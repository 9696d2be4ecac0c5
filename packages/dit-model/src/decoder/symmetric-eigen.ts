// Eigenvalues and eigenvectors of a small symmetric matrix on the host, by cyclic Jacobi rotations (Golub & Van Loan, section 8.5).

/** Sweeps after which any matrix has converged long since. */
const MOST_SWEEPS = 60

/** matrix [n·n], row-major → eigenvalues, largest first, and the vectors in the same order, one after another. */
export function symmetricEigen(matrix: Float64Array, n: number): { values: Float64Array; vectors: Float64Array[] } {
  const a = matrix.slice()
  const v = Array.from({ length: n }, (_, i) => Float64Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)))
  const norm = Math.hypot(...a)
  const smallest = (Number.EPSILON * norm) / n
  for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
    let rotated = false
    for (let p = 0; p < n - 1; p++) {
      for (let q = p + 1; q < n; q++) {
        const off = a[p * n + q]
        if (Math.abs(off) <= smallest) continue
        rotated = true
        const theta = (a[q * n + q] - a[p * n + p]) / (2 * off)
        const tangent = Math.sign(theta || 1) / (Math.abs(theta) + Math.hypot(theta, 1))
        const cosine = 1 / Math.hypot(tangent, 1)
        rotate(a, n, p, q, cosine, tangent * cosine)
        turn(v[p], v[q], cosine, tangent * cosine)
      }
    }
    if (!rotated) break
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => a[j * n + j] - a[i * n + i])
  return { values: Float64Array.from(order, i => a[i * n + i]), vectors: order.map(i => v[i]) }
}

/** Jᵀ·a·J for the rotation of axes p and q. */
function rotate(a: Float64Array, n: number, p: number, q: number, cosine: number, sine: number): void {
  for (let k = 0; k < n; k++) {
    const [x, y] = [a[k * n + p], a[k * n + q]]
    a[k * n + p] = cosine * x - sine * y
    a[k * n + q] = sine * x + cosine * y
  }
  turn(a.subarray(p * n, (p + 1) * n), a.subarray(q * n, (q + 1) * n), cosine, sine)
}

function turn(x: Float64Array, y: Float64Array, cosine: number, sine: number): void {
  for (let k = 0; k < x.length; k++) {
    const [first, second] = [x[k], y[k]]
    x[k] = cosine * first - sine * second
    y[k] = sine * first + cosine * second
  }
}
