import { cpu } from '@ditkit/backend-cpu'
import { attention, backward, type Device, hostNormal, normal, rngKey, scope, type Tensor } from '@ditkit/core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { denseBias, squaredDistanceFactors } from '../src'
import { fitFactors, NeuralFactors } from '../src/neural'

let device: Device
beforeAll(async () => {
  device = await cpu()
})
afterAll(() => device.dispose())

const numbers = async (t: Tensor) => Float64Array.from(await t.data())

/** Points [1, n, 2] far from the origin, and the bias −‖x − y‖² between them. */
function target(queries: number, keys: number, seed: number) {
  const points = (n: number, s: number) =>
    device.tensor(
      Float32Array.from(hostNormal(rngKey(s), 2 * n), x => 30 + 5 * x),
      [1, n, 2],
    )
  const [query, key] = [points(queries, seed), points(keys, seed + 1)]
  return { query, key, bias: denseBias(squaredDistanceFactors(query, key)) }
}

it('learns a bias, stops when it fits, and reports how well', async () => {
  const model = new NeuralFactors(device, rngKey(1), { queryFeatures: 2, keyFeatures: 2, rank: 6, hidden: 32 })
  const { query, key, bias } = target(60, 80, 2)
  const report = await fitFactors(model, { query, key, bias }, { energy: 0.995 })
  expect(report.stopped).toBe('fitted')
  expect(report.steps).toBeLessThan(2000)
  expect(report.energy).toBeGreaterThanOrEqual(0.995)
  // The report is about the weights that are left.
  const factors = model.forward(query, key)
  expect(factors.query.shape).toEqual([1, 60, 1, 6])
  const [made, wanted] = await Promise.all([numbers(denseBias(factors)), numbers(bias)])
  let [rest, whole, largest] = [0, 0, 0]
  for (let i = 0; i < wanted.length; i++) {
    rest += (made[i] - wanted[i]) ** 2
    whole += wanted[i] ** 2
    largest = Math.max(largest, Math.abs(made[i] - wanted[i]))
  }
  expect(Math.abs(1 - rest / whole - report.energy)).toBeLessThan(1e-5)
  expect(Math.abs(largest / report.residual.largest - 1)).toBeLessThan(1e-3)
  // What it has learned is the distance, not these tokens.
  const other = target(50, 70, 40)
  const again = model.forward(other.query, other.key)
  const [guess, exact] = await Promise.all([numbers(denseBias(again)), numbers(other.bias)])
  const error = exact.reduce((sum, x, i) => sum + (guess[i] - x) ** 2, 0)
  expect(error / exact.reduce((sum, x) => sum + x ** 2, 0)).toBeLessThan(0.05)
})

it('stops early where there is nothing to learn, and says so', async () => {
  const model = new NeuralFactors(device, rngKey(1), { queryFeatures: 1, keyFeatures: 1, rank: 2, hidden: 8 })
  const [query, key] = [normal(device, [1, 40, 1], rngKey(1)), normal(device, [1, 50, 1], rngKey(2))]
  const bias = normal(device, [40, 50], rngKey(3))
  const report = await fitFactors(model, { query, key, bias }, { evaluateEvery: 20, patience: 3 })
  expect(report.stopped).toBe('stalled')
  expect(report.steps).toBeLessThan(2000)
  expect(report.energy).toBeLessThan(0.5)
  expect(report.history.at(-1)?.lr).toBeLessThan(0.01)
  expect(Math.max(...report.history.map(({ energy }) => energy))).toBe(report.energy)
})

it('does not see what is masked', async () => {
  const { query, key, bias } = target(30, 40, 7)
  const values = await bias.data()
  const run = async (garbage: number) => {
    const model = new NeuralFactors(device, rngKey(1), { queryFeatures: 2, keyFeatures: 2, rank: 5, hidden: 16 })
    const dirty = Float32Array.from(values, (x, i) =>
      i % 3 === 0 ? Number.NEGATIVE_INFINITY : i % 7 === 1 ? garbage : x,
    )
    const mask = device.tensor(
      Uint8Array.from(values, (_, i) => (i % 7 === 1 ? 0 : 1)),
      [30, 40],
    )
    const report = await fitFactors(
      model,
      { query, key, bias: device.tensor(dirty, [30, 40]), mask },
      { steps: 60, evaluateEvery: 30 },
    )
    return report.history
  }
  expect(await run(Number.NaN)).toEqual(await run(0))
})

it('makes factors per head with a shared key, and is trained on by what uses them', async () => {
  const model = new NeuralFactors(device, rngKey(1), {
    queryFeatures: 3,
    keyFeatures: 2,
    rank: 4,
    heads: 2,
    sharedKey: true,
  })
  const [query, key] = [normal(device, [2, 7, 3], rngKey(1)), normal(device, [1, 9, 2], rngKey(2))]
  const [q, k] = [normal(device, [2, 7, 2, 4], rngKey(3)), normal(device, [2, 9, 2, 4], rngKey(4))]
  scope(() => {
    const factoredBias = model.forward(query, key)
    expect(factoredBias.key.shape).toEqual([1, 9, 1, 4])
    const out = attention(q, k, k, { factoredBias })
    backward(out, normal(device, out.shape, rngKey(5)))
  })
  for (const [name, weight] of model.namedParameters()) {
    const gradient = await (weight.grad as Tensor).data()
    expect(
      gradient.some(x => x !== 0),
      name,
    ).toBe(true)
  }
  model.dispose()
})

it('names what does not go together, and leaves nothing behind', async () => {
  const own = await cpu()
  const model = new NeuralFactors(own, rngKey(1), { queryFeatures: 2, keyFeatures: 2, rank: 2, hidden: 4 })
  const [query, key] = [normal(own, [1, 5, 2], rngKey(1)), normal(own, [1, 6, 2], rngKey(2))]
  const bias = normal(own, [5, 6], rngKey(3))
  const before = own.memory().liveTensors
  await expect(fitFactors(model, { query: key, key, bias })).rejects.toThrow(
    'query has shape [1, 6, 2] but the bias [1, 1, 5, 6]',
  )
  const perHead = normal(own, [1, 3, 5, 6], rngKey(4))
  await expect(fitFactors(model, { query, key, bias: perHead })).rejects.toThrow(
    'has 3 heads but the model makes factors for 1',
  )
  await expect(fitFactors(model, { query, key, bias }, { energy: 2 })).rejects.toThrow('energy is 2')
  const high = new NeuralFactors(own, rngKey(1), { queryFeatures: 2, keyFeatures: 2, rank: 7, hidden: 4 })
  await expect(fitFactors(high, { query, key, bias })).rejects.toThrow(
    'rank 7, larger than both sides of a bias of 5 × 6',
  )
  high.dispose()
  expect(() => new NeuralFactors(own, rngKey(1), { queryFeatures: 2, keyFeatures: 2, rank: 0 })).toThrow('rank is 0')
  perHead.dispose()
  await fitFactors(model, { query, key, bias }, { steps: 20, evaluateEvery: 10 })
  expect(own.memory().liveTensors).toBe(before)
  own.dispose()
})
