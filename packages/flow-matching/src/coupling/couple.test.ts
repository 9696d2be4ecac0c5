import { hostNormal, hostUniform, randomInt, rngKey } from '@ditkit/core'
import { assert as check, constantFrom, integer, property } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type CouplingOptions, coupleNoise, takeRows } from './couple'

const EXACT = { method: 'exact' } as const
const sinkhornOf = (seed: number) => ({ method: 'sinkhorn', key: rngKey(seed) }) as const
const sorted = (values: ArrayLike<number>) => Array.from(values).sort((a, b) => a - b)
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i)

describe('coupleNoise', () => {
  it('pairs each data row with the noise that makes the whole cheapest', () => {
    const data = [0, 0, 10, 10, -5, 5]
    const noise = [9, 9, -4, 4, 1, 0]
    expect([...coupleNoise(noise, data, 3, EXACT).indices]).toEqual([2, 0, 1])
    expect([...takeRows(Float32Array.from(noise), [2, 0, 1])]).toEqual([1, 0, 9, 9, -4, 4])
  })

  it('never crosses labels, and is the best permutation within each', () =>
    check(
      property(integer({ min: 1, max: 40 }), integer({ min: 0, max: 1000 }), (count, seed) => {
        const [noiseKey, dataKey, labelKey] = rngKey(seed).split(3)
        const [x0, x1] = [hostNormal(noiseKey, 2 * count), hostNormal(dataKey, 2 * count)]
        const condition = randomInt(labelKey, count, 3)
        const { indices } = coupleNoise(x0, x1, count, { ...EXACT, condition })
        expect(sorted(indices)).toEqual(upTo(count))
        indices.forEach((from, i) => {
          expect(condition[from]).toBe(condition[i])
        })
        for (const label of new Set(condition)) {
          const rows = upTo(count).filter(i => condition[i] === label)
          const own = (x: Float64Array) => rows.flatMap(i => [x[2 * i], x[2 * i + 1]])
          const alone = coupleNoise(own(x0), own(x1), rows.length, EXACT).indices
          expect(rows.map(i => indices[i])).toEqual(Array.from(alone, i => rows[i]))
        }
      }),
      { numRuns: 30 },
    ))

  it('keeps masked rows to themselves, whatever they hold', () =>
    check(
      property(constantFrom('exact', 'sinkhorn'), integer({ min: 0, max: 1000 }), (method, seed) => {
        const [B, G, d] = [3, 5, 9]
        const keys = rngKey(seed).split(3)
        const [x0, x1] = [hostNormal(keys[0], B * G * d), hostNormal(keys[1], B * G * d)]
        const mask = hostUniform(keys[2], B * G).map(u => (u < 0.7 ? 1 : 0))
        const condition = upTo(B * G).map(i => Math.floor(i / G))
        const options = { ...(method === 'exact' ? EXACT : sinkhornOf(1)), condition, mask }
        const { indices } = coupleNoise(x0, x1, B * G, options)
        indices.forEach((from, i) => {
          expect(Math.floor(from / G)).toBe(Math.floor(i / G))
          if (mask[i] === 0) expect(from).toBe(i)
          else expect(mask[from]).toBe(1)
        })
        const dirty = (x: Float64Array) => x.map((value, k) => (mask[Math.floor(k / d)] ? value : Number.NaN))
        const unknown = condition.map((scene, i) => (mask[i] ? scene : Number.NaN))
        const again = coupleNoise(dirty(x0), dirty(x1), B * G, { ...options, condition: unknown })
        expect(again.indices).toEqual(indices)
      }),
      { numRuns: 20 },
    ))

  it('weighs finite conditions against the distance', () => {
    const [x0, x1, condition] = [
      [0, 1],
      [1, 0],
      [0, 2],
    ]
    const at = (conditionWeight: number) => [
      ...coupleNoise(x0, x1, 2, { ...EXACT, condition, conditionWeight }).indices,
    ]
    // Crossing saves 2 and costs 2·4·w.
    expect(at(0)).toEqual([1, 0])
    expect(at(0.24)).toEqual([1, 0])
    expect(at(0.26)).toEqual([0, 1])
    expect(at(Number.POSITIVE_INFINITY)).toEqual([0, 1])
  })

  it('takes equal rows of several numbers as one condition', () => {
    const condition = [1, 2, 1, 3, 1, 2]
    expect([...coupleNoise([5, 0, 1], [0, 0, 5], 3, { ...EXACT, condition }).indices]).toEqual([2, 1, 0])
  })

  it('by Sinkhorn draws from the plan: by key, and for a small ε the exact permutation', () => {
    const n = 24
    const [x0, x1] = [hostNormal(rngKey(1), 2 * n), hostNormal(rngKey(2), 2 * n)]
    const draw = (seed: number, epsilon: number) =>
      coupleNoise(x0, x1, n, { ...sinkhornOf(seed), epsilon, iterations: 20_000 })
    expect(draw(1, 0.1)).toEqual(draw(1, 0.1))
    expect(draw(1, 0.1).indices).not.toEqual(draw(2, 0.1).indices)
    const few = [x0.subarray(0, 16), x1.subarray(0, 16), 8] as const
    const sharp = coupleNoise(...few, { ...sinkhornOf(1), epsilon: 5e-3, iterations: 20_000 })
    expect(sharp.indices).toEqual(coupleNoise(...few, EXACT).indices)
    // Over many keys every noise serves equally often: the plan's other marginal.
    const used = new Float64Array(n)
    for (let seed = 0; seed < 300; seed++) for (const from of draw(seed, 0.2).indices) used[from] += 1 / 300
    for (const share of used) expect(Math.abs(share - 1)).toBeLessThan(0.2)
  })

  it('reports a Sinkhorn that did not converge', () => {
    const [x0, x1] = [hostNormal(rngKey(1), 40), hostNormal(rngKey(2), 40)]
    const options = { ...sinkhornOf(1), epsilon: 1e-3, iterations: 2 }
    expect(coupleNoise(x0, x1, 20, options)).toMatchObject({ iterations: 2, converged: false })
    expect(coupleNoise(x0, x1, 20, EXACT)).toMatchObject({ iterations: 0, marginalError: 0, converged: true })
  })

  it('refuses what does not fit, naming it', () => {
    const couple =
      (options: Partial<CouplingOptions>, x1 = [1, 2, 3, 4], count = 2) =>
      () =>
        coupleNoise([1, 2, 3, 4], x1, count, { ...EXACT, ...options } as CouplingOptions)
    expect(couple({}, [1, 2])).toThrow(/x0 has 4 numbers but x1 has 2/)
    expect(couple({}, [1, 2, 3, 4], 3)).toThrow(/x0 has 4 numbers, which is not 3 rows/)
    expect(couple({}, [1, 2, Number.NaN, 4])).toThrow(/row 1 of x1 holds NaN \(mask such rows: mask\[1\] = 0\)/)
    expect(couple({}, [1e200, 2, 3, 4])).toThrow(/too large/)
    expect(couple({ mask: [1] })).toThrow(/mask has 1 entries but there are 2 rows/)
    expect(couple({ mask: [1, 2] })).toThrow(/mask\[1\] is 2 \(expected 0 or 1\)/)
    expect(couple({ condition: [1, 2, 3] })).toThrow(/condition has 3 numbers, which is not 2 rows/)
    expect(couple({ condition: [1, Number.NaN] })).toThrow(/row 1 of condition holds NaN/)
    expect(couple({ conditionWeight: -1 })).toThrow(/conditionWeight is -1/)
    expect(couple({ method: 'greedy' as 'exact' })).toThrow(/method 'greedy' is unknown/)
    expect(couple({}, [1, 2, 3, 4], 0)).toThrow(/count is 0/)
  })
})

describe('the noise that a condition sees', () => {
  // Class 0 lies at x = −2, class 1 at x = 2; sampling draws noise of mean 0 and variance 1 for either.
  const BATCHES = 60
  const COUNT = 64

  /** Mean and variance of x0's first coordinate for class 1, and the mean squared length of the paths. */
  function statistics(options: (labels: Int32Array) => CouplingOptions) {
    const seen: number[] = []
    let length = 0
    for (let batch = 0; batch < BATCHES; batch++) {
      const [noiseKey, dataKey, labelKey] = rngKey(batch).split(3)
      const labels = randomInt(labelKey, COUNT, 2)
      const x0 = hostNormal(noiseKey, 2 * COUNT)
      const x1 = hostNormal(dataKey, 2 * COUNT).map((z, k) => 0.3 * z + (k % 2 === 0 ? 4 * labels[k >> 1] - 2 : 0))
      coupleNoise(x0, x1, COUNT, options(labels)).indices.forEach((from, i) => {
        if (labels[i] === 1) seen.push(x0[2 * from])
        length += ((x1[2 * i] - x0[2 * from]) ** 2 + (x1[2 * i + 1] - x0[2 * from + 1]) ** 2) / (COUNT * BATCHES)
      })
    }
    const mean = seen.reduce((sum, x) => sum + x, 0) / seen.length
    return { mean, variance: seen.reduce((sum, x) => sum + (x - mean) ** 2, 0) / seen.length, length }
  }

  it('is biased by plain optimal transport, and not where the coupling knows the condition', () => {
    const plain = statistics(() => EXACT)
    const aware = statistics(condition => ({ ...EXACT, condition }))
    // Plain OT gives class 1 nearly the right half of the noise: mean √(2/π) = 0.8, variance 1 − 2/π = 0.36.
    expect(plain.mean).toBeGreaterThan(0.6)
    expect(plain.variance).toBeLessThan(0.6)
    expect(Math.abs(aware.mean)).toBeLessThan(0.08)
    expect(Math.abs(aware.variance - 1)).toBeLessThan(0.1)
  })

  it('is right for a condition under Sinkhorn too, and under a large finite weight', () => {
    const entropic = statistics(condition => ({ ...sinkhornOf(7), condition, epsilon: 0.1 }))
    expect(Math.abs(entropic.mean)).toBeLessThan(0.08)
    expect(Math.abs(entropic.variance - 1)).toBeLessThan(0.1)
    const weighted = [0, 2, 100].map(conditionWeight =>
      Math.abs(statistics(condition => ({ ...EXACT, condition, conditionWeight })).mean),
    )
    expect(weighted[1]).toBeLessThan(weighted[0])
    expect(weighted[2]).toBeLessThan(0.08)
  })

  it('still has shorter paths than independent pairs, whose mean squared length is 2 + 4 + 2·0.09', () => {
    const aware = statistics(condition => ({ ...EXACT, condition }))
    expect(aware.length).toBeLessThan(0.9 * (2 + 4 + 2 * 0.09))
  })
})
