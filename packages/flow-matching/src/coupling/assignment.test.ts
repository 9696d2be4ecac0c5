import { array, assert as check, double, integer, property } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { linearAssignment } from './assignment'

const total = (cost: ArrayLike<number>, n: number, columns: ArrayLike<number>) => {
  let sum = 0
  for (let i = 0; i < n; i++) sum += cost[i * n + columns[i]]
  return sum
}

function* permutations(n: number, taken: number[] = []): Generator<number[]> {
  if (taken.length === n) yield taken
  else for (let next = 0; next < n; next++) if (!taken.includes(next)) yield* permutations(n, [...taken, next])
}

const squares = (entry: ReturnType<typeof double>) =>
  integer({ min: 1, max: 6 }).chain(n => array(entry, { minLength: n * n, maxLength: n * n }))

/** Whether exchanging along some cycle of rows would cost less: exactly when the assignment is not the best. */
function improvable(cost: Float64Array, n: number, columns: Int32Array): boolean {
  const gain = Float64Array.from({ length: n * n }, (_, at) => {
    const [i, k] = [Math.floor(at / n), at % n]
    return cost[i * n + columns[k]] - cost[i * n + columns[i]]
  })
  for (let via = 0; via < n; via++)
    for (let i = 0; i < n; i++)
      for (let k = 0; k < n; k++) gain[i * n + k] = Math.min(gain[i * n + k], gain[i * n + via] + gain[via * n + k])
  return Array.from({ length: n }, (_, i) => gain[i * n + i]).some(loop => loop < -1e-9)
}

describe('linearAssignment', () => {
  it('is the best of all permutations', () => {
    for (let n = 1; n <= 7; n++) {
      for (let seed = 0; seed < 5; seed++) {
        const cost = Float64Array.from({ length: n * n }, (_, k) => Math.sin(1000 * (seed + 1) + 37 * k * k))
        const best = Math.min(...[...permutations(n)].map(columns => total(cost, n, columns)))
        expect(total(cost, n, linearAssignment(cost, n)), `n ${n}`).toBeCloseTo(best, 12)
      }
    }
  })

  it('is so with any costs, ties and negative ones too', () =>
    check(
      property(squares(double({ min: -10, max: 10, noNaN: true }).map(x => Math.round(x))), entries => {
        const n = Math.sqrt(entries.length)
        const columns = linearAssignment(Float64Array.from(entries), n)
        expect([...columns].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i))
        expect(total(entries, n, columns)).toBe(
          Math.min(...[...permutations(n)].map(other => total(entries, n, other))),
        )
      }),
    ))

  it('gives few rows the best of many columns', () => {
    for (const [rows, columns] of [
      [1, 1],
      [1, 7],
      [3, 4],
      [2, 6],
      [4, 7],
    ])
      for (let seed = 0; seed < 20; seed++) {
        const cost = Float64Array.from(
          { length: rows * columns },
          (_, k) => Math.sin(1000 * (seed + 1) + 37 * k * k) - (seed % 3),
        )
        const sum = (chosen: ArrayLike<number>) =>
          Array.from({ length: rows }, (_, row) => cost[row * columns + chosen[row]]).reduce((a, b) => a + b, 0)
        const chosen = linearAssignment(cost, rows, columns)
        expect(new Set(chosen).size).toBe(rows)
        expect(sum(chosen)).toBeCloseTo(Math.min(...[...permutations(columns)].map(sum)), 12)
      }
    expect(linearAssignment(new Float64Array(), 0, 5)).toEqual(new Int32Array())
  })

  it('refuses more rows than columns, and costs that do not fit or are not finite', () => {
    expect(() => linearAssignment(new Float64Array(6), 3, 2)).toThrow('3 rows cannot have different ones of 2 columns')
    expect(() => linearAssignment(new Float64Array(5), 2, 3)).toThrow('cost has 5 entries (expected 2 · 3)')
    expect(() => linearAssignment(Float64Array.of(1, 2, 3, Number.NaN), 2)).toThrow('cost[1, 1] is NaN')
  })

  it('of points on a line sorts them, for many too', () => {
    const n = 512
    const points = (seed: number) => Array.from({ length: n }, (_, i) => Math.sin(seed * (i + 1) ** 2) * 10)
    const [a, b] = [points(1.3), points(2.7)]
    const cost = Float64Array.from({ length: n * n }, (_, at) => (a[Math.floor(at / n)] - b[at % n]) ** 2)
    const order = (values: number[]) => values.map((_, i) => i).sort((i, j) => values[i] - values[j])
    const want = new Int32Array(n)
    const [rows, columns] = [order(a), order(b)]
    rows.forEach((row, rank) => {
      want[row] = columns[rank]
    })
    expect(linearAssignment(cost, n)).toEqual(want)
  })

  it('leaves no exchange that would cost less', () => {
    const n = 59
    const cost = Float64Array.from({ length: n * n }, (_, k) => Math.abs(Math.sin(12.9898 * k * k)) ** 3)
    const columns = linearAssignment(cost, n)
    expect(improvable(cost, n, columns)).toBe(false)
    const swapped = columns.slice()
    ;[swapped[3], swapped[40]] = [swapped[40], swapped[3]]
    expect(improvable(cost, n, swapped)).toBe(true)
  })
})
