import { type Device, hostNormal, hostUniform, reference, rngKey } from '@ditkit/core'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  constant,
  type Initializer,
  kaimingUniform,
  normalInit,
  skipInit,
  truncatedNormal,
  xavierUniform,
} from './init'

let device: Device
let double: Device
beforeAll(async () => {
  device = await reference()
  double = await reference({ dtype: 'f64' })
})

const draw = async (init: Initializer, shape: number[], on = device) => {
  const tensor = init(on, shape, rngKey(7))
  const values = [...(await tensor.data())]
  tensor.dispose()
  return values
}
const moments = (values: number[]) => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
  return { mean, std: Math.sqrt(variance), largest: Math.max(...values.map(Math.abs)) }
}

describe('initialisers', () => {
  it('xavierUniform is uniform in ±√(6 / (fanIn + fanOut)), kernels counted in both fans', async () => {
    const bound = Math.sqrt(6 / (8 * 9 + 32 * 9))
    const { mean, std, largest } = moments(await draw(xavierUniform, [32, 8, 3, 3]))
    expect(largest).toBeLessThanOrEqual(bound)
    expect(largest).toBeGreaterThan(0.98 * bound)
    expect(Math.abs(mean)).toBeLessThan(0.05 * bound)
    expect(Math.abs(std / (bound / Math.sqrt(3)) - 1)).toBeLessThan(0.03)
  })

  it('xavierUniform takes gain and fans', async () => {
    const init: Initializer = (on, shape, key) => xavierUniform(on, shape, key, { gain: 2, fanIn: 1, fanOut: 5 })
    const draws = hostUniform(rngKey(7), 6)
    expect(await draw(init, [6])).toEqual(Array.from(draws, u => Math.fround(2 * (2 * u - 1))))
    await expect(draw(xavierUniform, [6])).rejects.toThrow(/shape \[6\] has no fans/)
  })

  it('kaimingUniform is PyTorch’s default for Linear: ±1/√fanIn', async () => {
    const { largest } = moments(await draw(kaimingUniform, [100, 25]))
    expect(largest).toBeLessThanOrEqual(0.2)
    expect(largest).toBeGreaterThan(0.199)
  })

  it('normalInit scales and shifts the normal draws of the key', async () => {
    const draws = hostNormal(rngKey(7), 10)
    const expected = Array.from(draws, z => Math.fround(3 + 0.5 * z))
    expect(await draw(normalInit({ mean: 3, std: 0.5 }), [10])).toEqual(expected)
  })

  it('truncatedNormal keeps within the bound and keeps the inner draws', async () => {
    const values = await draw(truncatedNormal({ std: 0.1, bound: 1.5 }), [4000])
    const { largest, std } = moments(values)
    expect(largest).toBeLessThanOrEqual(0.15 + 1e-8)
    // The standard deviation of a normal cut at 1.5 is √(1 − 3φ(1.5) / (2Φ(1.5) − 1)) = 0.7426.
    expect(Math.abs(std / 0.07426 - 1)).toBeLessThan(0.03)
  })

  it('draw nothing inside skipInit, and draw again after it, after an error too', async () => {
    const skipped = skipInit(() => xavierUniform(device, [2, 2], rngKey(1)))
    expect([...(await skipped.data())]).toEqual([0, 0, 0, 0])
    expect(() =>
      skipInit(() => {
        throw new Error('no memory')
      }),
    ).toThrow('no memory')
    expect(await draw(xavierUniform, [2, 2])).not.toContain(0)
    skipped.dispose()
  })

  it('refuse to skip drawing across awaits', () => {
    expect(() => skipInit(async () => {})).toThrow(/returned a Promise/)
  })

  it('give the same float32 values on a float64 device', async () => {
    for (const init of [xavierUniform, kaimingUniform, normalInit(), truncatedNormal(), constant(0.5)])
      expect(await draw(init, [3, 5], double)).toEqual(await draw(init, [3, 5]))
  })
})
