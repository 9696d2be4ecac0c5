// Fréchet distance between two sets of features taken as Gaussians (Heusel et al. 2017, "GANs trained by a two
// time-scale update rule"): |m1 − m2|² + tr(C1 + C2 − 2 (C1^½ C2 C1^½)^½), in float64.

/** Rows of features, [count, dim] row-major. */
export interface Features {
  readonly data: ArrayLike<number>
  readonly count: number
  readonly dim: number
}

/** Throws a RangeError when the widths differ or a set has fewer than two rows. */
export function frechetDistance(a: Features, b: Features): number {
  if (a.dim !== b.dim) throw new RangeError(`frechetDistance: features of width ${a.dim} and ${b.dim}`)
  if (Math.min(a.count, b.count) < 2) throw new RangeError('frechetDistance: each set needs at least two rows')
  const n = a.dim
  const first = gaussian(a)
  const second = gaussian(b)
  const root = squareRoot(first.covariance, n)
  const product = multiply(multiply(root, second.covariance, n), root, n)
  const { values } = symmetricEigen(product, n)
  let distance = 0
  for (let i = 0; i < n; i++) {
    distance += (first.mean[i] - second.mean[i]) ** 2
    distance += first.covariance[i * n + i] + second.covariance[i * n + i] - 2 * Math.sqrt(Math.max(values[i], 0))
  }
  return distance
}

function gaussian({ data, count, dim }: Features): { mean: Float64Array; covariance: Float64Array } {
  const mean = new Float64Array(dim)
  for (let i = 0; i < count * dim; i++) mean[i % dim] += data[i] / count
  const covariance = new Float64Array(dim * dim)
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < dim; i++) {
      const di = data[row * dim + i] - mean[i]
      for (let j = 0; j <= i; j++) covariance[i * dim + j] += (di * (data[row * dim + j] - mean[j])) / (count - 1)
    }
  }
  for (let i = 0; i < dim; i++) for (let j = 0; j < i; j++) covariance[j * dim + i] = covariance[i * dim + j]
  return { mean, covariance }
}

/** The symmetric square root of a symmetric matrix without negative eigenvalues. */
function squareRoot(matrix: Float64Array, n: number): Float64Array {
  const { values, vectors } = symmetricEigen(matrix, n)
  const scaled = vectors.map((v, at) => v * Math.sqrt(Math.max(values[at % n], 0)))
  return multiply(scaled, transpose(vectors, n), n)
}

/** Most sweeps of the Jacobi method; it converges in about ten. */
const MAX_SWEEPS = 60

/**
 * Eigenvalues, and eigenvectors as columns, of a symmetric n x n matrix by cyclic Jacobi rotations (Golub & Van Loan,
 * Matrix Computations, 8.5). Throws when it does not converge, as for a matrix that holds a NaN.
 */
export function symmetricEigen(matrix: Float64Array, n: number): { values: Float64Array; vectors: Float64Array } {
  const a = matrix.slice()
  const vectors = new Float64Array(n * n)
  for (let i = 0; i < n; i++) vectors[i * n + i] = 1
  const scale = a.reduce((sum, x) => sum + x * x, 0)
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    let off = 0
    for (let p = 0; p < n; p++) for (let q = 0; q < p; q++) off += a[p * n + q] ** 2
    if (off <= 1e-30 * scale) return { values: Float64Array.from({ length: n }, (_, i) => a[i * n + i]), vectors }
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotate(a, vectors, n, p, q)
  }
  throw new Error(`symmetricEigen: no convergence in ${MAX_SWEEPS} sweeps; does the matrix hold a NaN?`)
}

/** Makes a[p, q] zero by a rotation of rows and columns p and q. */
function rotate(a: Float64Array, vectors: Float64Array, n: number, p: number, q: number): void {
  const apq = a[p * n + q]
  if (apq === 0) return
  const theta = (a[q * n + q] - a[p * n + p]) / (2 * apq)
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1))
  const c = 1 / Math.sqrt(t * t + 1)
  const s = t * c
  for (let k = 0; k < n; k++) turn(a, k * n + p, k * n + q, c, s)
  for (let k = 0; k < n; k++) turn(a, p * n + k, q * n + k, c, s)
  for (let k = 0; k < n; k++) turn(vectors, k * n + p, k * n + q, c, s)
}

function turn(m: Float64Array, p: number, q: number, c: number, s: number): void {
  const [x, y] = [m[p], m[q]]
  m[p] = c * x - s * y
  m[q] = s * x + c * y
}

function multiply(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const out = new Float64Array(n * n)
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < n; k++) for (let j = 0; j < n; j++) out[i * n + j] += a[i * n + k] * b[k * n + j]
  }
  return out
}

function transpose(a: Float64Array, n: number): Float64Array {
  return a.map((_, at) => a[(at % n) * n + Math.floor(at / n)])
}
