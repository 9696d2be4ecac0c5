import {
  add,
  backward,
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
  bitsPerDim,
  convertPrediction,
  cosinePath,
  flowMatchingLoss,
  interpolate,
  linearPath,
  logLikelihood,
  odeSolve,
  type PredictionKind,
  pathByName,
  type SolverMethod,
  sampleTime,
  targetVelocity,
  vpPath,
} from './index'

let device: Device
beforeEach(async () => {
  device = await reference({ dtype: 'f64' })
})
afterEach(() => expect(device.memory().liveTensors).toBe(0))

const PATHS = [linearPath, cosinePath, vpPath()]

describe('paths', () => {
  it('end at the data, and start at the noise', () => {
    for (const path of PATHS) {
      expect(path.alpha(1)).toBeCloseTo(1, 12)
      expect(path.sigma(1)).toBe(0)
      expect(path.sigma(0)).toBeCloseTo(1, 4)
      expect(Math.abs(path.alpha(0))).toBeLessThan(0.01)
    }
  })

  it('have the slopes of their coefficients', () => {
    for (const path of PATHS) {
      for (const t of [0.1, 0.37, 0.5, 0.9]) {
        const h = 1e-6
        expect(path.alphaSlope(t)).toBeCloseTo((path.alpha(t + h) - path.alpha(t - h)) / (2 * h), 6)
        expect(path.sigmaSlope(t)).toBeCloseTo((path.sigma(t + h) - path.sigma(t - h)) / (2 * h), 6)
      }
    }
  })

  it('are found by name, and an unknown name says which exist', () => {
    expect(pathByName('vp').name).toBe('vp')
    expect(() => pathByName('straight')).toThrow(/linear.*cosine.*vp/)
  })

  it('interpolate per sample, and refuse a wrong number of times', async () => {
    await scopeAsync(async s => {
      const [x0, x1] = s.run(() => [device.zeros([3, 2]), device.ones([3, 2])])
      expect([...(await s.run(() => interpolate(linearPath, x0, x1, [0, 0.25, 1])).data())]).toEqual([
        0, 0, 0.25, 0.25, 1, 1,
      ])
      expect(() => s.run(() => interpolate(linearPath, x0, x1, [0, 1]))).toThrow(/2 times but the batch has 3/)
    })
  })
})

describe('predictions', () => {
  it('convert into each other exactly', async () => {
    await scopeAsync(async s => {
      const [x0, x1] = s.run(() => [normal(device, [2, 3], rngKey(1)), normal(device, [2, 3], rngKey(2))])
      const t = [0.3, 0.8]
      for (const path of PATHS) {
        const xt = s.run(() => interpolate(path, x0, x1, t))
        const truth: Record<PredictionKind, Tensor> = {
          noise: x0,
          data: x1,
          velocity: s.run(() => targetVelocity(path, x0, x1, t)),
        }
        for (const from of ['noise', 'data', 'velocity'] as const) {
          for (const to of ['noise', 'data', 'velocity'] as const) {
            const got = await s.run(() => convertPrediction(path, from, to, truth[from], xt, t)).data()
            const want = await truth[to].data()
            for (const [i, value] of want.entries())
              expect(got[i], `${path.name} ${from} to ${to}`).toBeCloseTo(value, 9)
          }
        }
      }
    })
  })

  it('refuse a conversion that the path does not determine', () => {
    scope(() => {
      const x = device.ones([1, 2])
      expect(() => convertPrediction(linearPath, 'data', 'noise', x, x, 1)).toThrow(/t = 1/)
      expect(() => convertPrediction(linearPath, 'noise', 'data', x, x, 0)).toThrow(/t = 0/)
    })
  })
})

describe('times', () => {
  it('follow their distributions', () => {
    const n = 40_000
    const below = (t: Float64Array, limit: number) => t.filter(x => x < limit).length / n
    const uniform = sampleTime('uniform', rngKey(1), n)
    const logit = sampleTime('logit-normal', rngKey(1), n)
    const cosine = sampleTime('cosine', rngKey(1), n)
    expect(below(uniform, 0.25)).toBeCloseTo(0.25, 1.5)
    expect(below(logit, 0.25)).toBeCloseTo(0.136, 1.7) // Φ(logit 0.25)
    expect(below(cosine, 0.25)).toBeCloseTo((2 / Math.PI) * Math.atan(1 / 3), 1.7)
    for (const t of [uniform, logit, cosine]) expect(t.every(x => x >= 0 && x < 1)).toBe(true)
    expect(below(sampleTime('logit-normal', rngKey(1), n, { mean: 1 }), 0.5)).toBeCloseTo(0.1587, 1.7)
  })

  it('are a function of the key', () => {
    expect(sampleTime('cosine', rngKey(5), 9)).toEqual(sampleTime('cosine', rngKey(5), 9))
    expect(sampleTime('cosine', rngKey(5), 9)).not.toEqual(sampleTime('cosine', rngKey(6), 9))
  })
})

describe('the loss', () => {
  it('is 0 for the true target, of every kind, and has the gradient of a mean square', async () => {
    await scopeAsync(async s => {
      const [x0, x1] = s.run(() => [normal(device, [4, 3], rngKey(1)), normal(device, [4, 3], rngKey(2))])
      const t = [0.1, 0.2, 0.5, 0.9]
      for (const target of ['velocity', 'noise', 'data'] as const) {
        const truth = { noise: x0, data: x1, velocity: s.run(() => sub(x1, x0)) }[target]
        expect(await s.run(() => flowMatchingLoss(() => truth, x1, { x0, t, target })).item()).toBe(0)
      }
      const offset = s.run(() => device.full([1], 0.5, { requiresGrad: true }))
      s.run(() => backward(flowMatchingLoss(() => add(sub(x1, x0), offset), x1, { x0, t })))
      expect(await (offset.grad as Tensor).item()).toBeCloseTo(1, 12)
    })
  })
})

describe('solvers', () => {
  // dx/dt = x·cos(t): x(1) = exp(sin 1)
  const solve = (method: SolverMethod, steps: number) =>
    scopeAsync(async s => {
      const x0 = s.run(() => device.ones([1]))
      const x = await odeSolve((y, t) => mul(y, Math.cos(t)), x0, { method, steps })
      const error = Math.abs((await x.item()) - Math.exp(Math.sin(1)))
      x.dispose()
      return error
    })

  it.each([
    ['euler', 1],
    ['midpoint', 2],
    ['heun', 2],
    ['rk4', 4],
    ['rk4-3/8', 4],
  ] as const)('%s converges with order %i', async (method, order) => {
    const ratio = Math.log2((await solve(method, 20)) / (await solve(method, 40)))
    expect(Math.abs(ratio - order)).toBeLessThan(0.35)
  })

  it('dopri5 meets its tolerance, forwards and backwards', async () => {
    await scopeAsync(async s => {
      const x0 = s.run(() => device.tensor([1, 2], [2]))
      const there = await odeSolve((y, t) => mul(y, Math.cos(3 * t)), x0, { method: 'dopri5', rtol: 1e-8, atol: 1e-8 })
      expect((await there.data())[1]).toBeCloseTo(2 * Math.exp(Math.sin(3) / 3), 6)
      const back = await odeSolve((y, t) => mul(y, Math.cos(3 * t)), there, {
        method: 'dopri5',
        rtol: 1e-8,
        atol: 1e-8,
        from: 1,
        to: 0,
      })
      expect((await back.data())[0]).toBeCloseTo(1, 6)
      there.dispose()
      back.dispose()
    })
  })

  it('gives up with an error on a derivative that is not a number', async () => {
    const x0 = device.ones([1])
    await expect(odeSolve(x => mul(x, Number.NaN), x0, { method: 'dopri5' })).rejects.toThrow(/not a number/)
    await expect(odeSolve(x => x, x0, { steps: 0 })).rejects.toThrow(/steps is 0/)
    await expect(odeSolve(x => x, x0, { times: [0, 0.5, 0.4] })).rejects.toThrow(/strictly/)
    x0.dispose()
  })

  it('reports every step', async () => {
    const x0 = device.zeros([1])
    const seen: number[] = []
    const x = await odeSolve(y => add(y, 1), x0, { times: [0, 0.25, 1], onStep: (_, t) => void seen.push(t) })
    expect(seen).toEqual([0.25, 1])
    x.dispose()
    x0.dispose()
  })
})

describe('the likelihood', () => {
  it('equals that of the normal a linear flow makes', async () => {
    await scopeAsync(async s => {
      // dx/dt = a·x carries N(0, 1) to N(0, e^{2a}); the estimator is exact here because the Jacobian is diagonal.
      const a = 0.7
      const x1 = s.run(() => normal(device, [3, 2, 2], rngKey(3)))
      const got = await logLikelihood(x => mul(x, a), x1, { key: rngKey(4), rtol: 1e-8, atol: 1e-8, probes: 3 })
      const [values, x] = [await got.data(), await x1.data()]
      for (let i = 0; i < 3; i++) {
        const squares = Array.from(x.slice(4 * i, 4 * i + 4)).reduce((sum, v) => sum + v * v, 0)
        expect(values[i]).toBeCloseTo(-squares / (2 * Math.exp(2 * a)) - 2 * Math.log(2 * Math.PI) - 4 * a, 6)
      }
      const bits = s.run(() => bitsPerDim(got, 4))
      expect((await bits.data())[0]).toBeCloseTo(-values[0] / (4 * Math.LN2), 12)
      got.dispose()
    })
  })
})
