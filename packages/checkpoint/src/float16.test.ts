import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './float16'

const every = Uint16Array.from({ length: 65536 }, (_, i) => i)
const formats = [
  { name: 'float16', widen: float16ToFloat32, narrow: float32ToFloat16, infinity: 0x7c00, largest: 65504 },
  {
    name: 'bfloat16',
    widen: bfloat16ToFloat32,
    narrow: float32ToBfloat16,
    infinity: 0x7f80,
    largest: 3.3895313892515355e38,
  },
]

describe.each(formats)('$name', ({ widen, narrow, infinity, largest }) => {
  const one = (value: number) => narrow(Float32Array.of(value))[0]!

  test('every bit pattern survives float32 and back', () => {
    const wide = widen(every)
    const back = narrow(wide)
    for (const bits of every) {
      if (Number.isNaN(wide[bits]!)) expect(back[bits]! & 0x7fff, `NaN ${bits}`).toBeGreaterThan(infinity)
      else if (back[bits] !== bits) expect(back[bits], `pattern ${bits}`).toBe(bits)
    }
  })

  test('values between two patterns go to the nearest, ties to the even one', () => {
    const positive = fc.integer({ min: 0, max: infinity - 2 })
    fc.assert(
      fc.property(positive, fc.double({ min: 0, max: 1, noNaN: true }), (bits, fraction) => {
        const [below, above] = widen(Uint16Array.of(bits, bits + 1)) as unknown as [number, number]
        const value = Math.fround(below + (above - below) * fraction)
        const even = bits % 2 === 0 ? bits : bits + 1
        const nearest = value - below < above - value ? bits : value - below > above - value ? bits + 1 : even
        expect(one(value)).toBe(nearest)
        expect(one(-value)).toBe(nearest | 0x8000)
        expect(one((below + above) / 2)).toBe(even)
      }),
      { numRuns: 2000 },
    )
  })

  test('the largest finite value stays finite and what lies beyond becomes infinite', () => {
    expect(widen(Uint16Array.of(infinity - 1))[0]).toBe(largest)
    expect(one(largest)).toBe(infinity - 1)
    expect(one(3.4028234663852886e38)).toBe(infinity)
    expect(one(Number.NEGATIVE_INFINITY)).toBe(infinity | 0x8000)
  })

  test('a NaN whose fraction lies in the dropped bits stays NaN', () => {
    const nan = new Float32Array(Uint32Array.of(0x7f800001).buffer)
    expect(narrow(nan)[0]! & 0x7fff).toBeGreaterThan(infinity)
  })
})

test('known roundings of float32', () => {
  expect([...float32ToFloat16(Float32Array.of(1 / 3, 65519, 65520, 2 ** -25, 2 ** -24, -0))]).toEqual([
    0x3555, 0x7bff, 0x7c00, 0, 1, 0x8000,
  ])
  expect([...float32ToBfloat16(Float32Array.of(1 / 3, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -0))]).toEqual([
    0x3eab, 0x3f80, 0x3f82, 0x8000,
  ])
})
