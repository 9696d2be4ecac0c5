import { describe, expect, it } from 'vitest'
import { frechetDistance, symmetricEigen } from './frechet'

/** Rows with the given mean and exactly diagonal covariance: every sign combination of the deviations. */
function box(mean: number[], deviation: number[]) {
  const dim = mean.length
  const count = 2 ** dim
  const rows = Array.from({ length: count }, (_, row) =>
    mean.map((m, i) => m + ((row >> i) & 1 ? 1 : -1) * deviation[i] * Math.sqrt((count - 1) / count)),
  )
  return { data: rows.flat(), count, dim }
}

describe('Fréchet distance', () => {
  it('of a set to itself is 0', () => {
    const set = box([1, 2, 3], [0.5, 1, 2])
    expect(frechetDistance(set, set)).toBeCloseTo(0, 10)
  })

  it('of Gaussians with diagonal covariance is the closed form', () => {
    const expected = 4 + (1 - 2) ** 2 + (3 - 0.5) ** 2
    expect(frechetDistance(box([0, 0], [1, 3]), box([2, 0], [2, 0.5]))).toBeCloseTo(expected, 10)
  })

  it('does not depend on the order of its arguments or on a rotation of the features', () => {
    const [c, s] = [Math.cos(0.7), Math.sin(0.7)]
    const turn = (set: ReturnType<typeof box>) => ({
      ...set,
      data: set.data.map((_, at) =>
        at % 2 === 0 ? c * set.data[at] - s * set.data[at + 1] : s * set.data[at - 1] + c * set.data[at],
      ),
    })
    const a = box([0, 1], [1, 3])
    const b = box([2, 0], [2, 0.5])
    expect(frechetDistance(turn(a), turn(b))).toBeCloseTo(frechetDistance(b, a), 10)
  })

  it('refuses sets of different width', () => {
    expect(() => frechetDistance(box([0], [1]), box([0, 0], [1, 1]))).toThrow('width 1 and 2')
  })
})

describe('symmetricEigen', () => {
  it('gives vectors that diagonalise the matrix', () => {
    const n = 12
    const m = new Float64Array(n * n)
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) m[i * n + j] = Math.sin(1 + i * j) + Math.sin(1 + j * i) + (i === j ? i : 0)
    const { values, vectors } = symmetricEigen(m, n)
    for (let i = 0; i < n; i++) {
      for (let row = 0; row < n; row++) {
        let product = 0
        for (let k = 0; k < n; k++) product += m[row * n + k] * vectors[k * n + i]
        expect(product).toBeCloseTo(values[i] * vectors[row * n + i], 9)
      }
    }
  })

  it('says so when it is given a NaN', () => {
    expect(() => symmetricEigen(new Float64Array([Number.NaN, 1, 1, 0]), 2)).toThrow('NaN')
  })
})
