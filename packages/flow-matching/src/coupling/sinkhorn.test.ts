import { hostUniform, rngKey } from '@ditkit/core'
import { describe, expect, it } from 'vitest'
import { linearAssignment } from './assignment'
import { sinkhorn } from './sinkhorn'

const N = 19
const COST = hostUniform(rngKey(4), N * N)
const sums = (weights: Float64Array) => {
  const [rows, columns] = [new Float64Array(N), new Float64Array(N)]
  weights.forEach((w, at) => {
    rows[Math.floor(at / N)] += w
    columns[at % N] += w
  })
  return [...rows, ...columns]
}

describe('sinkhorn', () => {
  it('has the marginals it reports', () => {
    const plan = sinkhorn(COST, N, { epsilon: 0.3, tolerance: 1e-6 })
    expect(plan.converged).toBe(true)
    const worst = Math.max(...sums(plan.weights).map(sum => Math.abs(sum - 1)))
    expect(worst).toBeLessThan(1e-6)
    expect(worst).toBeCloseTo(plan.marginalError, 9)
  })

  it('is of the form exp(−cost/ε) scaled by rows and columns, which only the best plan is', () => {
    const { weights } = sinkhorn(COST, N, { epsilon: 0.2, tolerance: 1e-9 })
    const interaction = (at: (i: number, j: number) => number, i: number, j: number) =>
      at(i, j) - at(i, 0) - at(0, j) + at(0, 0)
    const log = (i: number, j: number) => Math.log(weights[i * N + j])
    const cost = (i: number, j: number) => COST[i * N + j]
    const epsilon = -interaction(cost, 1, 1) / interaction(log, 1, 1)
    expect(epsilon).toBeGreaterThan(0)
    for (let i = 1; i < N; i++)
      for (let j = 1; j < N; j++) expect(epsilon * interaction(log, i, j)).toBeCloseTo(-interaction(cost, i, j), 9)
  })

  it('becomes the exact assignment as ε goes to 0, and uniform as it grows', () => {
    const best = linearAssignment(COST, N)
    const cost = (weights: Float64Array) => weights.reduce((sum, w, at) => sum + w * COST[at], 0)
    const least = best.reduce((sum, column, row) => sum + COST[row * N + column], 0)
    const costs = [1, 0.1, 0.01, 0.002].map(epsilon => cost(sinkhorn(COST, N, { epsilon, iterations: 20_000 }).weights))
    expect([...costs].sort((a, b) => b - a)).toEqual(costs)
    expect(costs[3] / least).toBeCloseTo(1, 2)
    const { weights } = sinkhorn(COST, N, { epsilon: 0.002, iterations: 20_000 })
    best.forEach((column, row) => {
      expect(weights[row * N + column]).toBeGreaterThan(0.9)
    })
    for (const w of sinkhorn(COST, N, { epsilon: 1e6 }).weights) expect(w).toBeCloseTo(1 / N, 5)
  })

  it('says when it has not converged', () => {
    const plan = sinkhorn(COST, N, { epsilon: 0.001, iterations: 3, tolerance: 1e-9 })
    expect(plan).toMatchObject({ iterations: 3, converged: false })
    expect(plan.marginalError).toBeGreaterThan(1e-9)
    expect(plan.weights.every(Number.isFinite)).toBe(true)
  })

  it('does not depend on units, nor on what a row or a column adds', () => {
    const plain = sinkhorn(COST, N, { epsilon: 0.3, tolerance: 1e-9 }).weights
    const moved = COST.map((c, at) => 1e3 * c + 7 * Math.floor(at / N) - 90 * (at % N))
    sinkhorn(moved, N, { epsilon: 0.3, tolerance: 1e-9 }).weights.forEach((w, at) => {
      expect(w).toBeCloseTo(plain[at], 7)
    })
  })

  it('of costs that prefer no pair is uniform', () => {
    for (const entries of [
      new Float64Array(9),
      new Float64Array(9).fill(5.1),
      [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    ])
      for (const w of sinkhorn(Float64Array.from(entries), 3).weights) expect(w).toBeCloseTo(1 / 3, 9)
  })

  it('refuses settings that make no sense', () => {
    expect(() => sinkhorn(COST, N, { epsilon: 0 })).toThrow(/epsilon is 0 \(expected above 0\)/)
    expect(() => sinkhorn(COST, N, { iterations: 0 })).toThrow(/iterations is 0/)
    expect(() => sinkhorn(COST, N, { tolerance: Number.NaN })).toThrow(/tolerance is NaN/)
  })
})
