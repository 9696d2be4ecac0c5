// A Gaussian around any point of a grid as factors: on each axis it is written in the basis that holds most of it, and of the products
// of both axes only the strongest are kept. The kernel is separable, so these are its singular vectors over the whole grid.

import { symmetricEigen } from './symmetric-eigen'

export interface GridGaussian {
  readonly rank: number
  /** The largest error of an entry that was found, of a kernel that is 1 at its top. */
  readonly error: number
  /** [R, width] and [R, height]: what takes a point's kernels along x and y to two vectors whose product is its factor. */
  readonly x: Float64Array
  readonly y: Float64Array
  /** [height·width, R]: the factor of the cells. */
  readonly cells: Float64Array
}

/** More than this is no low rank: the factors' products would cost more than the attention they bias. */
const HIGHEST_RANK = 256
/** Positions and cells per axis at which the error is measured. */
const POSITIONS = 17
const CELLS = 32

/**
 * exp(−(dx²/2σx² + dy²/2σy²)) of points within a grid and the centres of its cells, to within `tolerance`; σ is `sigma` times the grid's
 * side, per axis. @throws RangeError where that takes a rank above 256.
 */
export function gridGaussian(
  grid: readonly [height: number, width: number],
  sigma: number,
  tolerance: number,
): GridGaussian {
  const [height, width] = grid
  const alongY = axisBasis(height, sigma * height)
  const alongX = width === height ? alongY : axisBasis(width, sigma * width)
  const pairs = strongest(alongY, alongX)
  const residual = new Float64Array(alongY.samples.length * alongX.samples.length)
  addProduct(residual, 1, alongY.samples, alongX.samples)
  let rank = 0
  let error = largest(residual)
  while (error > tolerance) {
    if (rank === HIGHEST_RANK || rank === pairs.length) {
      throw new RangeError(
        `CrossModalDecoder: a Gaussian of sigma ${sigma} on a grid of ${height} × ${width} has no factors of rank ${HIGHEST_RANK} or less ` +
          `for a tolerance of ${tolerance} (rank ${rank} is off by ${error.toPrecision(2)}); widen biasShape.sigma, allow a larger tolerance, or use bias 'dense'`,
      )
    }
    const [i, j] = pairs[rank++]
    addProduct(residual, -1, alongY.terms(i), alongX.terms(j))
    error = largest(residual)
  }
  const kept = pairs.slice(0, rank)
  const y = table(rank, height, (r, cell) => alongY.vectors[kept[r][0]][cell])
  const x = table(rank, width, (r, cell) => alongX.vectors[kept[r][1]][cell])
  const cells = table(
    height * width,
    rank,
    (cell, r) => y[r * height + Math.floor(cell / width)] * x[r * width + (cell % width)],
  )
  return { rank, error, x, y, cells }
}

function table(rows: number, columns: number, value: (row: number, column: number) => number): Float64Array {
  return Float64Array.from({ length: rows * columns }, (_, i) => value(Math.floor(i / columns), i % columns))
}

interface AxisBasis {
  /** Of the kernel along this axis, strongest first. */
  readonly strengths: Float64Array
  readonly vectors: readonly Float64Array[]
  /** The kernel at some positions and cells, [POSITIONS·cells]; `terms(i)`: what vector i gives of it. */
  readonly samples: Float64Array
  terms(i: number): Float64Array
}

/** exp(−(x − cell)²/2σ²) of positions x in 0 … n and the cells' centres ½ … n − ½. */
function axisBasis(n: number, sigma: number): AxisBasis {
  const kernel = (x: number): Float64Array =>
    Float64Array.from({ length: n }, (_, k) => Math.exp(-((x - k - 0.5) ** 2) / (2 * sigma * sigma)))
  const products = new Float64Array(n * n)
  for (let step = 0; step <= 4 * n; step++) {
    const row = kernel(step / 4)
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) products[i * n + j] += row[i] * row[j]
  }
  const { values, vectors } = symmetricEigen(products, n)
  const at = Array.from({ length: POSITIONS }, (_, i) => kernel((i * n) / (POSITIONS - 1)))
  const count = Math.min(n, CELLS)
  const cells = Array.from({ length: count }, (_, i) => (count === 1 ? 0 : Math.round((i * (n - 1)) / (count - 1))))
  const sampled = (value: (row: Float64Array, cell: number) => number) =>
    Float64Array.from(at.flatMap(row => cells.map(cell => value(row, cell))))
  return {
    strengths: values.map(value => Math.sqrt(Math.max(value, 0))),
    vectors,
    samples: sampled((row, cell) => row[cell]),
    terms: i => {
      const projections = new Map(at.map(row => [row, row.reduce((sum, x, k) => sum + x * vectors[i][k], 0)]))
      return sampled((row, cell) => projections.get(row)! * vectors[i][cell])
    },
  }
}

/** Pairs of vectors of the two axes by the product of their strengths; only those that may be kept. */
function strongest(y: AxisBasis, x: AxisBasis): [number, number][] {
  const pairs = Array.from(y.strengths, (_, i) => Array.from(x.strengths, (_, j): [number, number] => [i, j])).flat()
  const strength = ([i, j]: [number, number]) => y.strengths[i] * x.strengths[j]
  return pairs.sort((a, b) => strength(b) - strength(a)).slice(0, HIGHEST_RANK)
}

/** matrix + factor·a·bᵀ, in place. */
function addProduct(matrix: Float64Array, factor: number, a: Float64Array, b: Float64Array): void {
  for (let i = 0; i < a.length; i++) {
    const [x, start] = [factor * a[i], i * b.length]
    for (let j = 0; j < b.length; j++) matrix[start + j] += x * b[j]
  }
}

function largest(values: Float64Array): number {
  let top = 0
  for (let i = 0; i < values.length; i++) top = Math.max(top, Math.abs(values[i]))
  return top
}
