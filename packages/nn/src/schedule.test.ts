import { describe, expect, it } from 'vitest'
import { constantLr, warmupConstant, warmupCosine, warmupLinear } from './schedule'

describe('schedules', () => {
  const options = { lr: 2, warmupSteps: 4, totalSteps: 12, finalLr: 1 }

  it('warm up in equal steps, never from zero, and meet lr at the end of the warm-up', () => {
    for (const schedule of [warmupCosine(options), warmupLinear(options), warmupConstant(options)])
      expect([0, 1, 2, 3, 4].map(schedule)).toEqual([0.5, 1, 1.5, 2, 2])
  })

  it('decay to finalLr and stay there', () => {
    const cosine = warmupCosine(options)
    expect(cosine(8)).toBeCloseTo(1.5, 12)
    expect(cosine(6)).toBeCloseTo(1 + (1 + Math.SQRT1_2) / 2, 12)
    expect(warmupLinear(options)(6)).toBe(1.75)
    for (const schedule of [cosine, warmupLinear(options)]) {
      expect(schedule(12)).toBe(1)
      expect(schedule(1000)).toBe(1)
    }
  })

  it('without warm-up start at lr', () => {
    expect(warmupCosine({ lr: 3, totalSteps: 10 })(0)).toBe(3)
    expect(constantLr(3)(99)).toBe(3)
  })

  it('refuse a run that ends in its warm-up', () => {
    expect(() => warmupLinear({ lr: 1, warmupSteps: 10, totalSteps: 10 })).toThrow(/totalSteps \(10\)/)
  })
})
