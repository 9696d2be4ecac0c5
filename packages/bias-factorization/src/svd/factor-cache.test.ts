import { add, type Device, hostNormal, mul, normal, reference, rngKey } from '@ditkit/core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { FactorCache } from '../index'

let device: Device
beforeAll(async () => {
  device = await reference()
})
afterAll(() => device.dispose())

/** [30, 40], of rank 2. */
function lowRank(seed: number) {
  const [u, w] = [hostNormal(rngKey(seed), 60), hostNormal(rngKey(seed + 1), 80)]
  const values = Float32Array.from({ length: 1200 }, (_, k) => {
    const [i, j] = [Math.floor(k / 40), k % 40]
    return u[i] * w[j] + u[30 + i] * w[40 + j]
  })
  return device.tensor(values, [30, 40])
}

it('factorizes again only when the bias changed enough, and says so', async () => {
  const cache = new FactorCache({ energy: 0.99, change: 0.05 })
  const bias = lowRank(1)
  const first = await cache.factorize(bias)
  expect(first).toMatchObject({ refactorized: true, why: 'the first bias', kind: 'factored', rank: 2 })
  const same = await cache.factorize(bias)
  expect(same).toMatchObject({ refactorized: false, change: 0 })
  expect(same).toHaveProperty('factoredBias', first.kind === 'factored' && first.factoredBias)
  const slightly = await cache.factorize(add(bias, mul(normal(device, [30, 40], rngKey(5)), 0.02)))
  expect(slightly.refactorized).toBe(false)
  expect(slightly.change).toBeGreaterThan(0.01)
  expect(slightly.change).toBeLessThan(0.02)
  const much = await cache.factorize(mul(bias, 1.1))
  expect(much.refactorized).toBe(true)
  expect(Math.abs((much.change as number) - 0.1)).toBeLessThan(0.03)
  expect(much.why).toMatch(/^the bias changed by \d.* %, which is more than 5.00 %$/)
  expect(first.kind === 'factored' && first.factoredBias.query.disposed).toBe(true)
  expect(await cache.factorize(lowRank(8))).toMatchObject({ refactorized: true })
  cache.dispose()
})

it('sees a change of what is blocked, however small', async () => {
  const cache = new FactorCache({ energy: 0.9 })
  const bias = lowRank(1)
  const allowed = new Uint8Array(1200).fill(1)
  allowed[7] = 0
  const mask = device.tensor(allowed, [30, 40])
  await cache.factorize(bias, { mask })
  expect(await cache.factorize(bias, { mask })).toMatchObject({ refactorized: false })
  allowed[7] = 1
  allowed[1199] = 0
  const moved = await cache.factorize(bias, { mask: device.tensor(allowed, [30, 40]) })
  expect(moved).toMatchObject({ refactorized: true, why: 'the mask changed' })
  cache.dispose()
})

it('keeps a refusal too, for the bias of the call', async () => {
  const cache = new FactorCache({ energy: 0.999 })
  const values = Float32Array.from({ length: 900 }, (_, k) => (Math.abs(Math.floor(k / 30) - (k % 30)) < 2 ? 0 : -10))
  const [bias, other] = [device.tensor(values, [30, 30]), device.tensor(values, [30, 30])]
  expect(await cache.factorize(bias)).toMatchObject({ kind: 'dense', refactorized: true })
  const again = await cache.factorize(other)
  expect(again).toMatchObject({ kind: 'dense', refactorized: false })
  expect(again.kind === 'dense' && again.options.bias).toBe(other)
})

it('owns what it holds, and nothing else stays', async () => {
  const own = await reference()
  const bias = own.tensor(hostNormal(rngKey(1), 1200), [30, 40])
  const cache = new FactorCache({ maxRank: 3 })
  for (const scale of [1, 2, 3]) {
    const scaled = mul(bias, scale)
    await cache.factorize(scaled)
    scaled.dispose()
    expect(own.memory().liveTensors).toBe(3)
  }
  cache.dispose()
  expect(own.memory().liveTensors).toBe(1)
  own.dispose()
})
