import { array, asyncProperty, assert as check, constantFrom, double } from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Device, quantile, reference, scope } from '../index'

let device: Device
beforeEach(async () => {
  device = await reference({ dtype: 'f64' })
})
afterEach(() => expect(device.memory().liveTensors).toBe(0))

const of = async (row: readonly number[], q: number) => {
  const out = scope(() => quantile(device.tensor(row, [1, row.length]), q))
  const [value] = await out.data()
  out.dispose()
  return value
}

describe('quantile', () => {
  it('is the entry of the sorted row', async () => {
    const row = [3, -1, 4, 1, -5, 9, 2, 6]
    expect(await of(row, 0)).toBe(-5)
    expect(await of(row, 1)).toBe(9)
    expect(await of(row, 0.5)).toBe(3)
    expect(await of([7], 0.3)).toBe(7)
    expect(await of([2, 2, 2], 0.9)).toBe(2)
  })

  it('is the entry of any sorted row, within 2^−32 of its range', () =>
    check(
      asyncProperty(
        array(double({ min: -1e3, max: 1e3, noNaN: true }), { minLength: 1, maxLength: 40 }),
        constantFrom(0, 0.1, 0.5, 0.9, 0.995, 1),
        async (row, q) => {
          const sorted = [...row].sort((a, b) => a - b)
          const want = sorted[Math.ceil(q * (row.length - 1))]
          const range = sorted[row.length - 1] - sorted[0]
          expect(Math.abs((await of(row, q)) - want)).toBeLessThanOrEqual(range * 2 ** -31)
        },
      ),
    ))

  it('refuses a share outside 0 … 1, and rows without entries', () => {
    const x = device.zeros([2, 0])
    expect(() => quantile(x, 1.1)).toThrow(/q is 1.1 \(expected 0 to 1\)/)
    expect(() => quantile(x, 0.5)).toThrow(/at least one element/)
    x.dispose()
  })
})
