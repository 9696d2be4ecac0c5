import { expect, test } from 'vitest'
import { RngKey, rngKey } from './key'
import { philox4x32 } from './philox'

test('a seed becomes its low and high 32 bits', () => {
  const key = rngKey(2 ** 40 + 5)
  expect([key.low, key.high]).toEqual([5, 256])
  expect(rngKey(2n ** 64n - 1n).toString()).toBe('ffffffffffffffff')
})

// Computed once and committed: a change here would change every run that was ever recorded.
test('derived keys never change', () => {
  const key = rngKey(42)
  expect(key.split(3).map(String)).toEqual(['357cd4d7d2e035b5', '898fb820452b0569', '61a90f438cd6a420'])
  expect([0, 1, 2 ** 40].map(v => String(key.foldIn(v)))).toEqual([
    'd2d29f77d39e648d',
    '159b555796cb8512',
    'a8afa82882df57b5',
  ])
})

test('derived keys are words 0 and 1 of the documented blocks', () => {
  const words = new Uint32Array(4)
  philox4x32(1, 0, 0x53504c54, 0, 7, 3, words)
  const split = new RngKey(7, 3).split(2)[1]
  expect([split.low, split.high]).toEqual([words[0], words[1]])
  philox4x32(9, 256, 0x464f4c44, 0, 7, 3, words)
  const folded = new RngKey(7, 3).foldIn(2n ** 40n + 9n)
  expect([folded.low, folded.high]).toEqual([words[0], words[1]])
})

test('a larger split begins with the same keys, and all keys differ', () => {
  const keys = rngKey(1).split(100).map(String)
  expect(keys.slice(0, 10)).toEqual(rngKey(1).split(10).map(String))
  const folded = Array.from({ length: 100 }, (_, i) => String(rngKey(1).foldIn(i)))
  expect(new Set([...keys, ...folded]).size).toBe(200)
})

test('a key survives JSON', () => {
  const key = rngKey(0x0123456789abcdefn)
  expect(JSON.stringify({ key })).toBe('{"key":"0123456789abcdef"}')
  expect(RngKey.parse(String(key))).toEqual(key)
})

test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -1n, 2n ** 64n])(
  '%s is refused as a seed',
  value => {
    expect(() => rngKey(value)).toThrow(/seed is .* expected an integer/)
    expect(() => rngKey(0).foldIn(value)).toThrow(/foldIn: value is/)
  },
)

test('bad counts, words and texts are refused', () => {
  for (const count of [0, -1, 1.5, Number.NaN]) expect(() => rngKey(0).split(count)).toThrow(/count is/)
  expect(() => new RngKey(-1, 0)).toThrow(/expected integers from 0/)
  for (const text of ['', '12', 'zzzzzzzzzzzzzzzz', '00000000000000000']) {
    expect(() => RngKey.parse(text)).toThrow(/16 hexadecimal digits/)
  }
})
