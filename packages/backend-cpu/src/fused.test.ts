// The fused primitives against what core composes of elementary ones on the float64 reference.

import {
  adamwStep,
  backward,
  type Device,
  gatedResidual,
  grad,
  hostNormal,
  linear,
  mlp,
  modulatedLayerNorm,
  mul,
  reference,
  rngKey,
  scope,
  scopeAsync,
  sum,
  type Tensor,
} from '@ditkit/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cpu, describeCpu } from './index'

const draw = (seed: number, count: number) => Float32Array.from(hostNormal(rngKey(seed), count))

function tensor(device: Device, seed: number, shape: number[]): Tensor {
  return device.tensor(
    draw(
      seed,
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
    { requiresGrad: true },
  )
}

function expectClose(got: ArrayLike<number>, expected: ArrayLike<number>, bound: number): void {
  expect(got.length).toBe(expected.length)
  let scale = 0
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(expected[i]))
  for (let i = 0; i < expected.length; i++) {
    if (!(Math.abs(got[i] - expected[i]) <= bound * scale))
      expect.fail(`element ${i} is ${got[i]}, expected ${expected[i]}`)
  }
}

let exact: Device
beforeAll(async () => {
  exact = await reference({ dtype: 'f64' })
})
afterAll(() => exact.dispose())

describe.each(describeCpu().isas)('%s', isa => {
  let device: Device
  beforeAll(async () => {
    device = await cpu({ isa: isa as 'avx2', threads: 2 })
  })
  afterAll(() => device.dispose())

  /** Result and gradients of all inputs, of a weighted sum of the result. */
  async function resultAndGradients(on: Device, shapes: number[][], f: (...inputs: Tensor[]) => Tensor) {
    const inputs = shapes.map((shape, i) => tensor(on, i, shape))
    const out = scope(() => {
      const out = f(...inputs)
      backward(sum(mul(out, tensor(on, 99, [...out.shape]))))
      return out
    })
    return Promise.all([out.data(), ...inputs.map(x => x.grad!.data())])
  }

  test.each([
    [2, 3, 5],
    [2, 70, 133],
    [1, 33, 64],
  ])('modulated layer norm, gated residual and gated mlp, [%i, %i, %i]', async (batch, tokens, channels) => {
    const x = [batch, tokens, channels]
    const modulation = [batch, 6, channels]
    const [wide, narrow, bias] = [[3 * channels, channels], [channels, 3 * channels], [channels]]
    for (const [shapes, f] of [
      [[x, modulation], (a: Tensor, m: Tensor) => modulatedLayerNorm(a, m, 3, 4)],
      [[x, modulation, x], (a: Tensor, m: Tensor, y: Tensor) => gatedResidual(a, m, 2, y)],
      [
        [x, modulation, x, wide, narrow, bias],
        (residual: Tensor, m: Tensor, a: Tensor, w1: Tensor, w2: Tensor, b: Tensor) =>
          mlp(a, { weight: w1 }, { weight: w2, bias: b }, { into: { residual, modulation: m, gateIndex: 5 } }),
      ],
    ] as [number[][], (...inputs: Tensor[]) => Tensor][]) {
      const [got, expected] = [await resultAndGradients(device, shapes, f), await resultAndGradients(exact, shapes, f)]
      for (const [i, values] of expected.entries()) expectClose(got[i], values, 3e-6)
    }
  })

  test('a gradient that others hold is not written into, though the ops behind it add to it', async () => {
    await scopeAsync(async s => {
      const [x, m, w] = s.run(() => [
        tensor(device, 0, [2, 3, 5]),
        tensor(device, 1, [2, 6, 5]),
        tensor(device, 2, [5, 5]),
      ])
      const run = (g: Tensor) =>
        s.run(() => {
          const options = { into: { residual: x, modulation: m, gateIndex: 2 } }
          const out = linear(modulatedLayerNorm(x, m, 0, 1), w, undefined, options)
          return grad(out, [x, m], g)
        })
      const g = s.run(() => tensor(device, 3, [2, 3, 5]))
      const before = await g.data()
      const first = await Promise.all(run(g).map(t => t.data()))
      expect(await g.data()).toEqual(before)
      expect(await Promise.all(run(g).map(t => t.data()))).toEqual(first)
    })
  })

  /** Sizes on both sides of a unit of work, one with an average. */
  const SIZES = [1, 5, 16_383, 16_384, 40_000]
  const SCALARS = { lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, emaDecay: 0.99, maxNorm: 3 }

  function state(on: Device) {
    return SIZES.map((size, i) => ({
      parameter: tensor(on, i, [size]),
      gradient: tensor(on, 10 + i, [size]),
      firstMoment: on.zeros([size]),
      secondMoment: on.zeros([size]),
      average: i % 2 ? on.tensor(draw(i, size), [size]) : undefined,
      decayScale: i % 2,
      lrScale: 1 + i / 10,
    }))
  }

  test('AdamW with clipping, decay, per-parameter rates and averages', async () => {
    const [own, other] = [state(device), state(exact)]
    for (let step = 1; step <= 3; step++) {
      const norm = await adamwStep(own, { ...SCALARS, step }).data()
      expectClose(norm, await adamwStep(other, { ...SCALARS, step }).data(), 1e-6)
    }
    for (const [i, entry] of own.entries()) {
      for (const name of ['parameter', 'firstMoment', 'secondMoment', 'average'] as const) {
        const got = entry[name]
        if (got) expectClose(await got.data(), await other[i][name]!.data(), 2e-6)
      }
    }
  })

  test('a gradient that is not finite changes nothing and says so', async () => {
    const own = state(device)
    const before = await Promise.all(own.map(entry => entry.parameter.data()))
    const bad = draw(14, 40_000)
    bad[39_999] = Number.NaN
    own[4].gradient = device.tensor(bad, [40_000])
    const [norm, taken] = await adamwStep(own, { ...SCALARS, step: 1 }).data()
    expect([norm, taken]).toEqual([Number.NaN, 0])
    for (const [i, entry] of own.entries()) {
      expect(await entry.parameter.data()).toEqual(before[i])
      expect((await entry.firstMoment.data()).every(m => m === 0)).toBe(true)
    }
  })
})
