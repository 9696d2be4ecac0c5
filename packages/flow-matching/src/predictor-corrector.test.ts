import { add, type Device, mul, normal, reference, rngKey, scope, type Tensor } from '@ditkit/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { odeSolve, type PredictorCorrectorOptions, predictorCorrectorSample } from './index'

let device: Device
beforeEach(async () => {
  device = await reference({ dtype: 'f64' })
})
afterEach(() => expect(device.memory().liveTensors).toBe(0))

// Data is N(m, s²), so that the velocity is known: E[x1 − x0 | x_t] = m + slope(t)·(x_t − t·m).
const [m, s2] = [0.5, 0.04]
const varianceAt = (t: number) => (1 - t) ** 2 + t * t * s2
const slope = (t: number) => (t * s2 - (1 - t)) / varianceAt(t)
const velocity = (x: Tensor, t: number) => add(mul(x, slope(t)), m - slope(t) * t * m)

/** What the linear sampler makes of a Gaussian's variance. */
function varianceAfter(steps: number, corrections: number, snr: number): number {
  let v = 1
  for (let step = 0; step < steps; step++) {
    const t = step / steps
    const size = 2 * (snr * (1 - t)) ** 2
    for (let i = 0; i < corrections; i++) v = v * (1 - size / varianceAt(t)) ** 2 + 2 * size
    v *= (1 + slope(t) / steps) ** 2
  }
  return v
}

async function draw(count: number, options: Partial<PredictorCorrectorOptions>) {
  const x0 = normal(device, [count], rngKey(1))
  try {
    const x = await predictorCorrectorSample(velocity, x0, { key: rngKey(2), steps: 8, ...options })
    const values = [...(await x.data())]
    x.dispose()
    return values
  } finally {
    x0.dispose()
  }
}

describe('predictor–corrector sampling', () => {
  it('comes nearer to the data distribution in as few steps, as far as the formulas say', async () => {
    expect(Math.abs(varianceAfter(8, 4, 0.3) - s2)).toBeLessThan(0.8 * Math.abs(varianceAfter(8, 0, 0.3) - s2))
    for (const corrections of [0, 4]) {
      const values = await draw(4000, { corrections, snr: 0.3 })
      const mean = values.reduce((sum, v) => sum + v, 0) / values.length
      const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length
      expect(Math.abs(mean - m), `${corrections} corrections`).toBeLessThan(0.02)
      expect(Math.abs(variance / varianceAfter(8, corrections, 0.3) - 1)).toBeLessThan(0.06)
    }
  })

  it('without corrections is the solver', async () => {
    const x0 = normal(device, [5], rngKey(1))
    const x = await odeSolve(velocity, x0, { method: 'heun', steps: 8 })
    const want = [...(await x.data())]
    ;(await draw(5, { corrections: 0, method: 'heun' })).forEach((value, i) => {
      expect(value).toBeCloseTo(want[i], 12)
    })
    for (const tensor of [x0, x]) tensor.dispose()
  })

  it('is a function of the key, and each sample of itself alone', async () => {
    const three = await draw(3, {})
    expect(await draw(3, {})).toEqual(three)
    expect(await draw(1, {})).toEqual([three[0]])
    expect(await draw(3, { key: rngKey(3) })).not.toEqual(three)
  })

  it('reports every step, and leaves nothing behind when the velocity throws', async () => {
    const times: number[] = []
    await draw(2, { steps: 4, onStep: (_, t) => void times.push(t) })
    expect(times).toEqual([0.25, 0.5, 0.75, 1])
    const x0 = scope(() => normal(device, [2], rngKey(1)))
    const failing = (x: Tensor, t: number) => {
      if (t > 0.5) throw new Error('no velocity')
      return velocity(x, t)
    }
    await expect(predictorCorrectorSample(failing, x0, { key: rngKey(1) })).rejects.toThrow('no velocity')
    x0.dispose()
  })

  it('refuses counts and ratios that make no sense', async () => {
    await expect(draw(1, { steps: 0 })).rejects.toThrow(/steps is 0/)
    await expect(draw(1, { corrections: 0.5 })).rejects.toThrow(/corrections is 0.5/)
    await expect(draw(1, { snr: 0 })).rejects.toThrow(/snr is 0 \(expected between 0 and 1\)/)
  })
})
