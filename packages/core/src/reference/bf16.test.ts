import fc from 'fast-check'
import { expect, test } from 'vitest'
import { roundToBf16 } from './bf16'

/** The bfloat16 with these 16 bits: float32's upper half. */
function fromBits(bits: number): number {
  return new Float32Array(Uint32Array.of(bits * 2 ** 16).buffer)[0]
}

const MAX = fromBits(0x7f7f)
const LEAST = fromBits(0x0001)

test('every bfloat16 is left as it is', () => {
  for (let bits = 0; bits < 2 ** 16; bits++) {
    const value = fromBits(bits)
    if (!Object.is(roundToBf16(value), value)) expect(roundToBf16(value), bits.toString(16)).toBe(value)
  }
})

test('what lies between two neighbours goes to the nearer one, and from halfway to the even one', () => {
  for (let bits = 0; bits < 0x7f7f; bits += 61) {
    const [low, high] = [fromBits(bits), fromBits(bits + 1)]
    const even = bits % 2 === 0 ? low : high
    // Next to halfway by less than float32 could tell: rounding to float32 first would come out at halfway.
    const half = (low + high) / 2
    for (const sign of [1, -1]) {
      expect(roundToBf16(sign * half)).toBe(sign * even)
      expect(roundToBf16(sign * half * (1 - 2 ** -40))).toBe(sign * low)
      expect(roundToBf16(sign * half * (1 + 2 ** -40))).toBe(sign * high)
    }
  }
})

test('zeros keep their sign, NaN and infinities stay, and the ends of the range are as IEEE rounds them', () => {
  expect(roundToBf16(0)).toBe(0)
  expect(roundToBf16(-0)).toBe(-0)
  expect(roundToBf16(Number.NaN)).toBeNaN()
  expect(roundToBf16(Number.NEGATIVE_INFINITY)).toBe(Number.NEGATIVE_INFINITY)
  const beyond = MAX + (MAX - fromBits(0x7f7e)) / 2
  expect(roundToBf16(beyond)).toBe(Number.POSITIVE_INFINITY)
  expect(roundToBf16(-beyond * (1 - 2 ** -50))).toBe(-MAX)
  expect(roundToBf16(3.4028234663852886e38)).toBe(Number.POSITIVE_INFINITY)
  expect(roundToBf16(-LEAST / 2)).toBe(-0)
  expect(roundToBf16((LEAST / 2) * (1 + 2 ** -50))).toBe(LEAST)
  expect(roundToBf16(5e-324)).toBe(0)
})

test('the error is at most 2^-8 of the value', () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-37, max: 1e38, noNaN: true }), x => {
      expect(Math.abs(roundToBf16(x) - x)).toBeLessThanOrEqual(x * 2 ** -8)
    }),
  )
})
