import { hashNormal, hashUniform } from '@ditkit/oracle'
import { describe, expect, it } from 'vitest'
import { type GridGaussian, gridGaussian } from './grid-gaussian'
import { symmetricEigen } from './symmetric-eigen'

/** The largest error of the factors over all cells, at points inside the grid. */
function worst([height, width]: readonly [number, number], sigma: number, { rank, x, y, cells }: GridGaussian): number {
  const profile = (n: number, at: number) =>
    Float64Array.from({ length: n }, (_, k) => Math.exp(-((at * n - k - 0.5) ** 2) / (2 * (sigma * n) ** 2)))
  const project = (table: Float64Array, row: Float64Array) =>
    Float64Array.from({ length: rank }, (_, r) => row.reduce((sum, p, k) => sum + p * table[r * row.length + k]!, 0))
  const points = [
    [0, 0],
    [1, 1],
    [0, 1],
    [0.5, 0],
    ...Array.from({ length: 40 }, (_, i) => [...hashUniform(`p${i}`, 2)]),
  ]
  let error = 0
  for (const [u, v] of points as [number, number][]) {
    const [alongX, alongY] = [profile(width, u), profile(height, v)]
    const [fx, fy] = [project(x, alongX), project(y, alongY)]
    for (let cell = 0; cell < height * width; cell++) {
      let value = 0
      for (let r = 0; r < rank; r++) value += fx[r]! * fy[r]! * cells[cell * rank + r]!
      error = Math.max(error, Math.abs(value - alongX[cell % width]! * alongY[Math.floor(cell / width)]!))
    }
  }
  return error
}

describe('gridGaussian', () => {
  it.each([
    [[7, 7], 0.25, 0.05],
    [[1, 1], 0.25, 0.05],
    [[1, 9], 0.25, 1e-3],
    [[20, 50], 0.25, 0.05],
    [[20, 50], 0.5, 0.01],
    [[59, 33], 0.3, 1e-3],
    [[6, 7], 0.1, 1e-9],
  ] as const)('of %j with sigma %f is within the tolerance %f everywhere', (grid, sigma, tolerance) => {
    const gaussian = gridGaussian(grid, sigma, tolerance)
    expect(gaussian.error).toBeLessThanOrEqual(tolerance)
    // The error is measured on a lattice of points; between them it is a little larger.
    expect(worst(grid, sigma, gaussian)).toBeLessThan(1.1 * tolerance)
  })

  it('takes the ranks that the README states, whatever the size of the grid', () => {
    const rank = (grid: readonly [number, number], sigma: number, tolerance: number) =>
      gridGaussian(grid, sigma, tolerance).rank
    for (const grid of [
      [128, 128],
      [20, 50],
    ] as const) {
      expect([0.5, 0.25].map(sigma => rank(grid, sigma, 0.05))).toEqual([8, 22])
    }
  })

  it('refuses a Gaussian as narrow as the window of 15 cells on a large grid, and says what to do', () => {
    expect(() => gridGaussian([128, 128], 4.3 / 128, 0.05)).toThrow(/no factors of rank 256 or less.*bias 'dense'/)
  })
})

it('symmetricEigen takes a matrix apart into what makes it again', () => {
  for (const n of [1, 2, 7, 33]) {
    const half = hashNormal(`m${n}`, [n, n])
    const matrix = Float64Array.from({ length: n * n }, (_, i) => half[i]! + half[(i % n) * n + Math.floor(i / n)]!)
    const { values, vectors } = symmetricEigen(matrix, n)
    expect([...values]).toEqual([...values].sort((a, b) => b - a))
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const again = values.reduce((sum, value, k) => sum + value * vectors[k]![i]! * vectors[k]![j]!, 0)
        expect(Math.abs(again - matrix[i * n + j]!)).toBeLessThan(1e-12 * n)
        const product = vectors[i]!.reduce((sum, x, k) => sum + x * vectors[j]![k]!, 0)
        expect(Math.abs(product - (i === j ? 1 : 0))).toBeLessThan(1e-12 * n)
      }
    }
  }
})
