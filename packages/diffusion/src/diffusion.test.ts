import {
  backward,
  concat,
  type Device,
  mul,
  normal,
  reference,
  rngKey,
  scope,
  scopeAsync,
  sub,
  type Tensor,
} from '@ditkit/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  addNoise,
  convertTarget,
  type DiffusionTarget,
  ddimSample,
  ddpmSample,
  diffusionLoss,
  diffusionSchedule,
  posteriorMean,
  respace,
  trueTarget,
  variationalBound,
} from './index'

let device: Device
beforeEach(async () => {
  device = await reference({ dtype: 'f64' })
})
afterEach(() => expect(device.memory().liveTensors).toBe(0))

describe('schedules', () => {
  it('have the values of their formulas', () => {
    const linear = diffusionSchedule({ kind: 'linear', steps: 100 })
    expect([linear.betas[0], linear.betas[99]]).toEqual([0.001, 0.2])
    expect(linear.alphasCumprod[50]).toBeCloseTo(0.0666656268, 9)
    expect(linear.alphasCumprod[99]).toBeCloseTo(2.03900898e-5, 12)
    const raw = diffusionSchedule({ kind: 'linear-raw', steps: 100 })
    expect([raw.betas[0], raw.betas[99]]).toEqual([1e-4, 0.02])
    const cosine = diffusionSchedule({ kind: 'cosine', steps: 50 })
    expect(cosine.betas[0]).toBeCloseTo(0.00174751, 8)
    expect(cosine.betas[49]).toBe(0.999)
    expect(cosine.alphasCumprod[25]).toBeCloseTo(0.46270686201731814, 12)
    const sigmoid = diffusionSchedule({ kind: 'sigmoid', steps: 50 })
    expect(sigmoid.alphasCumprod[24]).toBeCloseTo(0.5, 12)
  })

  it('of the same T rescaled to 1000 are those of facebookresearch/DiT', () => {
    const { betas } = diffusionSchedule({ kind: 'linear', steps: 1000 })
    expect(betas[0]).toBeCloseTo(1e-4, 15)
    expect(betas[999]).toBeCloseTo(0.02, 15)
  })

  it("respaced in constant strides are DDIM's", () => {
    const schedule = respace(diffusionSchedule({ steps: 1000 }), 4, 'uniform')
    expect([...schedule.timesteps]).toEqual([0, 250, 500, 750])
  })

  it('respaced keep ᾱ at the chosen steps, and tell the model the original timesteps', () => {
    const full = diffusionSchedule({ kind: 'cosine', steps: 1000 })
    const seven = respace(full, 7)
    expect([...seven.timesteps]).toEqual([0, 166, 333, 500, 666, 832, 999])
    seven.timesteps.forEach((t, i) => {
      expect(seven.alphasCumprod[i]).toBeCloseTo(full.alphasCumprod[t], 12)
    })
    expect([...respace(full, 10, 'uniform').timesteps]).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900])
    expect(respace(full, 1000).betas.every((beta, t) => Math.abs(beta - full.betas[t]) < 1e-12)).toBe(true)
    expect(() => respace(full, 1001)).toThrow(/1 to the schedule's 1000/)
  })
})

describe('targets', () => {
  it('of every kind imply the data and the noise they were made of', async () => {
    await scopeAsync(async s => {
      const schedule = diffusionSchedule({ steps: 100 })
      const [x0, noise] = s.run(() => [
        normal(device, [3, 1, 2, 2], rngKey(1)),
        normal(device, [3, 1, 2, 2], rngKey(2)),
      ])
      const t = [0, 40, 90]
      const xt = s.run(() => addNoise(schedule, x0, noise, t))
      for (const kind of ['epsilon', 'x0', 'v'] as DiffusionTarget[]) {
        const prediction = s.run(() => trueTarget(schedule, kind, x0, noise, t))
        for (const [to, truth] of [
          ['x0', x0],
          ['epsilon', noise],
        ] as const) {
          const got = await s.run(() => convertTarget(schedule, kind, to, prediction, xt, t)).data()
          const want = await truth.data()
          for (const [i, value] of want.entries()) expect(got[i], `${kind} to ${to}`).toBeCloseTo(value, 9)
        }
      }
    })
  })

  it('refuse noise that would broadcast over the batch', () => {
    const schedule = diffusionSchedule({ steps: 4 })
    const [x0, noise] = [device.ones([2, 1, 2, 2]), device.ones([1, 1, 2, 2])]
    expect(() => addNoise(schedule, x0, noise, [0, 1])).toThrow(
      /addNoise: tensors of shapes \[2, 1, 2, 2\] and \[1, 1, 2, 2\]/,
    )
    for (const t of [x0, noise]) t.dispose()
  })

  it('refuse steps outside the schedule', () => {
    scope(() => {
      const schedule = diffusionSchedule({ steps: 10 })
      const x = device.ones([2, 1, 1, 1])
      expect(() => addNoise(schedule, x, x, [0, 10])).toThrow(/step 10 \(expected whole numbers from 0 to 9\)/)
      expect(() => addNoise(schedule, x, x, [0])).toThrow(/1 steps but the batch has 2/)
    })
  })
})

describe('the loss', () => {
  it('is 0 for the true noise', async () => {
    await scopeAsync(async s => {
      const schedule = diffusionSchedule({ steps: 100 })
      const [x0, noise] = s.run(() => [
        normal(device, [2, 1, 2, 2], rngKey(1)),
        normal(device, [2, 1, 2, 2], rngKey(2)),
      ])
      expect(await s.run(() => diffusionLoss(() => noise, x0, { schedule, t: [3, 70], noise })).item()).toBe(0)
    })
  })

  it('of a respaced process tells the model the timesteps it was trained on', () => {
    const schedule = respace(diffusionSchedule({ steps: 100 }), 5)
    let told: number[] = []
    const loss = scope(() => {
      const x = device.ones([2, 1, 2, 2])
      const model = (xt: Tensor, timesteps: number[]) => {
        told = timesteps
        return xt
      }
      return diffusionLoss(model, x, { schedule, t: [1, 4], noise: x })
    })
    expect(told).toEqual([25, 99])
    loss.dispose()
  })

  it('with a learned variance adds the bound in bits, which trains the variance and not the mean', async () => {
    await scopeAsync(async s => {
      const schedule = diffusionSchedule({ steps: 100 })
      const x0 = s.run(() => device.tensor([0.3, -0.5, 1, -1], [4, 1, 1, 1]))
      const noise = s.run(() => device.tensor([0.2, -0.1, 0.4, 0.1], [4, 1, 1, 1]))
      const t = [50, 7, 0, 0]
      const epsilon = [0.25, -0.3, 0.1, 0.5]
      const raw = [0.4, -0.2, 0.3, -0.6]
      const e = s.run(() => device.tensor(epsilon, [4, 1, 1, 1], { requiresGrad: true }))
      const v = s.run(() => device.tensor(raw, [4, 1, 1, 1], { requiresGrad: true }))
      const xt = s.run(() => addNoise(schedule, x0, noise, t))
      const bound = s.run(() => variationalBound(schedule, 'epsilon', e, v, x0, xt, t))
      const got = await bound.data()
      // The same in plain numbers.
      const [data, noisy] = [await x0.data(), await xt.data()]
      const cdf = (x: number) => 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
      const { alphasCumprod: a, alphasCumprodPrev: p, betas } = schedule
      t.forEach((step, i) => {
        const implied = (noisy[i] - Math.sqrt(1 - a[step]) * epsilon[i]) / Math.sqrt(a[step])
        const mean = (x: number) =>
          (betas[step] * Math.sqrt(p[step]) * x + (1 - p[step]) * Math.sqrt(1 - betas[step]) * noisy[i]) / (1 - a[step])
        const low = Math.log((betas[Math.max(1, step)] * (1 - p[Math.max(1, step)])) / (1 - a[Math.max(1, step)]))
        const fraction = (raw[i] + 1) / 2
        const logVariance = fraction * Math.log(betas[step]) + (1 - fraction) * low
        let nats: number
        if (step === 0) {
          const z = (shift: number) => cdf((data[i] - mean(implied) + shift) * Math.exp(-0.5 * logVariance))
          nats = -Math.log(data[i] < -0.999 ? z(1 / 255) : data[i] > 0.999 ? 1 - z(-1 / 255) : z(1 / 255) - z(-1 / 255))
        } else {
          const distance = (mean(data[i]) - mean(implied)) ** 2
          nats = 0.5 * (-1 + logVariance - low + Math.exp(low - logVariance) + distance * Math.exp(-logVariance))
        }
        expect(got[i], `step ${step}`).toBeCloseTo(nats / Math.LN2, 8)
      })
      s.run(() => backward(mul(bound, 1), device.ones([4])))
      expect(e.grad).toBeUndefined()
      expect((await (v.grad as Tensor).data()).every(g => g !== 0)).toBe(true)
    })
  })
})

describe('samplers', () => {
  // Data is N(m, s²) per pixel, so the best denoiser is known in closed form.
  const [m, s2] = [0.2, 0.04]
  const oracle = (schedule: ReturnType<typeof diffusionSchedule>) => (xt: Tensor, timesteps: number[]) => {
    const step = schedule.timesteps.indexOf(timesteps[0])
    const a = schedule.alphasCumprod[step]
    // E[ε | x_t] = √(1−ᾱ)·(x_t − √ᾱ·m)/(ᾱ·s² + 1 − ᾱ)
    return mul(sub(xt, Math.sqrt(a) * m), Math.sqrt(1 - a) / (a * s2 + 1 - a))
  }

  const moments = async (x: Tensor) => {
    const values = Array.from(await x.data())
    x.dispose()
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length
    return [mean, values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length]
  }

  it('DDPM draws from the data distribution, also respaced', async () => {
    const full = diffusionSchedule({ kind: 'cosine', steps: 200 })
    for (const schedule of [full, respace(full, 40)]) {
      const x = await ddpmSample(device, oracle(schedule), [2000, 1, 1, 1], {
        schedule,
        key: rngKey(1),
        clipData: false,
        fixedVariance: 'large',
      })
      const [mean, variance] = await moments(x)
      expect(Math.abs(mean - m)).toBeLessThan(0.02)
      expect(Math.abs(variance - s2)).toBeLessThan(0.008)
    }
  })

  it('DDIM draws from it too, and is deterministic in its start', async () => {
    const schedule = respace(diffusionSchedule({ kind: 'cosine', steps: 1000 }), 100)
    const draw = () =>
      ddimSample(device, oracle(schedule), [2000, 1, 1, 1], { schedule, key: rngKey(2), clipData: false })
    const [a, b] = [await draw(), await draw()]
    expect(await a.data()).toEqual(await b.data())
    b.dispose()
    const [mean, variance] = await moments(a)
    expect(Math.abs(mean - m)).toBeLessThan(0.02)
    expect(Math.abs(variance - s2)).toBeLessThan(0.008)
  })

  it('DDIM of eta 1 is DDPM with the small variance, draw for draw', async () => {
    const schedule = respace(diffusionSchedule({ steps: 100 }), 8)
    const options = { schedule, key: rngKey(3), clipData: false }
    const a = await ddimSample(device, oracle(schedule), [3, 1, 2, 2], { ...options, eta: 1 })
    const b = await ddpmSample(device, oracle(schedule), [3, 1, 2, 2], { ...options, fixedVariance: 'small' })
    const [x, y] = [await a.data(), await b.data()]
    x.forEach((value, i) => {
      expect(value).toBeCloseTo(y[i], 9)
    })
    a.dispose()
    b.dispose()
  })

  it('DDPM takes the variance the model learned: at its ends, the fixed ones', async () => {
    const schedule = diffusionSchedule({ kind: 'cosine', steps: 6 })
    const shape = [2, 1, 2, 2]
    const options = { schedule, key: rngKey(4), clipData: false }
    for (const [raw, fixedVariance] of [
      [-1, 'small'],
      [1, 'large'],
    ] as const) {
      const learned = await ddpmSample(
        device,
        (x, t) => concat([oracle(schedule)(x, t), device.full(shape, raw)], 1),
        shape,
        { ...options, variance: 'learned-range' },
      )
      const fixed = await ddpmSample(device, oracle(schedule), shape, { ...options, fixedVariance })
      const [x, y] = [await learned.data(), await fixed.data()]
      x.forEach((value, i) => {
        expect(value, fixedVariance).toBeCloseTo(y[i], 9)
      })
      learned.dispose()
      fixed.dispose()
    }
  })

  it('stop at the data when clipped, and report every step', async () => {
    const schedule = diffusionSchedule({ steps: 10 })
    const seen: number[] = []
    const x = await ddpmSample(device, xt => mul(xt, -5), [2, 1, 2, 2], {
      schedule,
      key: rngKey(1),
      onStep: (_, step) => void seen.push(step),
    })
    expect((await x.data()).every(v => Math.abs(v) <= 1)).toBe(true)
    expect(seen).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    x.dispose()
  })

  it('threshold the implied data sample by sample, at the quantile of its magnitudes where that is above 1', async () => {
    const schedule = diffusionSchedule({ steps: 3 })
    const values = [0.1, -4, 2, 3, 0.1, -0.4, 0.2, 0.3]
    const fixed = device.tensor(values, [2, 1, 2, 2])
    const seen: number[][] = []
    const x = await ddimSample(device, () => fixed, [2, 1, 2, 2], {
      schedule,
      key: rngKey(1),
      target: 'x0',
      clipData: { quantile: 0.6 }, // index ⌈0.6·3⌉ = 2 of the sorted magnitudes: 3
      onStep: async (_x, _step, data) => void seen.push([...(await data.data())]),
    })
    for (const data of seen)
      data.forEach((value, i) => {
        expect(value).toBeCloseTo([0.1 / 3, -1, 2 / 3, 1, 0.1, -0.4, 0.2, 0.3][i], 9)
      })
    expect(seen.length).toBe(3)
    x.dispose()
    fixed.dispose()
  })

  describe('with a corrector', () => {
    const schedule = respace(diffusionSchedule({ kind: 'cosine', steps: 1000 }), 12)
    const draw = (count: number, steps: number, options: { seed?: number; snr?: number } = {}) =>
      ddimSample(device, oracle(schedule), [count, 1, 1, 1], {
        schedule,
        key: rngKey(options.seed ?? 5),
        clipData: false,
        corrector: { steps, ...(options.snr && { snr: options.snr }) },
      })

    /** The variance that a Gaussian keeps through sampler and corrector, both being linear. */
    const varianceAfter = (corrections: number, snr: number) => {
      let v = 1
      for (let step = schedule.steps - 1; step >= 0; step--) {
        const [a, p] = [schedule.alphasCumprod[step], schedule.alphasCumprodPrev[step]]
        const [noise, total] = [1 - a, a * s2 + 1 - a]
        const size = 2 * snr ** 2 * noise
        for (let i = 0; i < corrections; i++) v = v * (1 - size / total) ** 2 + 2 * size
        const epsilon = Math.sqrt(noise) / total
        v *= ((Math.sqrt(p) * (1 - Math.sqrt(noise) * epsilon)) / Math.sqrt(a) + Math.sqrt(1 - p) * epsilon) ** 2
      }
      return v
    }

    it('come nearer to the data distribution in as few steps, as far as the formulas say', async () => {
      expect(Math.abs(varianceAfter(4, 0.3) - s2)).toBeLessThan(0.8 * Math.abs(varianceAfter(0, 0.3) - s2))
      for (const steps of [0, 4]) {
        const want = varianceAfter(steps, 0.3)
        const [, variance] = await moments(await draw(4000, steps, { snr: 0.3 }))
        expect(Math.abs(variance / want - 1), `${steps} corrections`).toBeLessThan(0.06)
      }
    })

    it('are a function of the key, and each sample of itself alone', async () => {
      const values = async (x: Tensor) => {
        const data = [...(await x.data())]
        x.dispose()
        return data
      }
      const three = await values(await draw(3, 2))
      expect(await values(await draw(3, 2))).toEqual(three)
      expect(await values(await draw(3, 2, { seed: 6 }))).not.toEqual(three)
      expect(await values(await draw(3, 1))).not.toEqual(three)
      expect(await values(await draw(1, 2))).toEqual([three[0]])
    })

    it('refuse steps and ratios that make no sense', async () => {
      await expect(draw(1, -1)).rejects.toThrow(/steps is -1 \(expected a whole number ≥ 0\)/)
      await expect(draw(1, 1, { snr: 2 })).rejects.toThrow(/snr is 2 \(expected between 0 and 1\)/)
    })
  })

  it('posterior mean at step 0 is the data', async () => {
    await scopeAsync(async s => {
      const schedule = diffusionSchedule({ steps: 10 })
      const [x0, xt] = s.run(() => [device.full([1, 1, 1, 1], 0.7), device.full([1, 1, 1, 1], 0.2)])
      expect(await s.run(() => posteriorMean(schedule, x0, xt, [0])).item()).toBeCloseTo(0.7, 12)
    })
  })
})
