import { type Device, reference } from '@ditkit/core'
import { beforeAll, describe, expect, it } from 'vitest'
import { sinCosPositions } from './position-embedding'
import { timestepEmbedding } from './timestep-embedding'

let device: Device
beforeAll(async () => {
  device = await reference()
})

describe('sinCosPositions', () => {
  it('say the column in the first half and the row in the second, sines before cosines', () => {
    const table = sinCosPositions(8, 2, 3)
    const at = (row: number, column: number) => [...table.slice((row * 3 + column) * 8, (row * 3 + column + 1) * 8)]
    const code = (n: number) => [Math.sin(n), Math.sin(n / 100), Math.cos(n), Math.cos(n / 100)]
    expect(at(0, 0)).toEqual([0, 0, 1, 1, 0, 0, 1, 1])
    expect(at(1, 2)).toEqual([...code(2), ...code(1)])
  })
})

describe('timestepEmbedding', () => {
  it('holds cosines, then sines, of t times falling frequencies', async () => {
    const values = await timestepEmbedding(device, [0, 999.25], 4).data()
    const expected = [1, 1, 0, 0, ...[999.25, 9.9925].map(Math.cos), ...[999.25, 9.9925].map(Math.sin)]
    values.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i], 7)
    })
  })

  it('is rounded once: exact float64 values to half a unit of float32, near t = 1000 too', async () => {
    const single = await timestepEmbedding(device, [998.7]).data()
    const double = await timestepEmbedding(await reference({ dtype: 'f64' }), [998.7]).data()
    expect([...single]).toEqual(Array.from(double, Math.fround))
  })

  it('refuses what is not a number', () => {
    expect(() => timestepEmbedding(device, [1, Number.POSITIVE_INFINITY])).toThrow(/t\[1\] is Infinity/)
  })
})
