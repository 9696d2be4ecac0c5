import { expect, test } from 'vitest'
import { attentionDropoutLanes, fillNormals, fillWords, philox4x32, wordToUniform } from './philox'

function block(counter: number[], key: number[]): number[] {
  const out = new Uint32Array(4)
  philox4x32(counter[0], counter[1], counter[2], counter[3], key[0], key[1], out)
  return [...out]
}

// The known-answer vectors published with Random123 (philox4x32, 10 rounds).
test.each([
  { counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
  {
    counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    key: [0xffffffff, 0xffffffff],
    words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  },
  {
    counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    key: [0xa4093822, 0x299f31d0],
    words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  },
])('philox4x32-10 gives the published words for counter $counter', ({ counter, key, words }) => {
  expect(block(counter, key)).toEqual(words)
})

test('element n of a fill is word n mod 4 of block n / 4', () => {
  const words = fillWords(7, 9, 10)
  expect([...words.subarray(4, 8)]).toEqual(block([1, 0, 0, 0], [7, 9]))
  expect([...words.subarray(8)]).toEqual(block([2, 0, 0, 0], [7, 9]).slice(0, 2))
})

test('uniforms lie in [0, 1) on the 2^-24 grid', () => {
  expect(wordToUniform(0)).toBe(0)
  expect(wordToUniform(0xffffffff)).toBe(1 - 2 ** -24)
  expect(wordToUniform(0x80000000)).toBe(0.5)
})

test('normals pair words (0, 1) and (2, 3), and an odd count cuts a pair', () => {
  const [a, b] = block([0, 0, 0, 0], [1, 2])
  const radius = Math.sqrt(-2 * Math.log(((a! >>> 8) + 1) / 2 ** 24))
  const angle = (2 * Math.PI * (b! >>> 8)) / 2 ** 24
  const normals = fillNormals(1, 2, 3)
  expect(normals).toHaveLength(3)
  expect(normals[0]).toBe(radius * Math.cos(angle))
  expect(normals[1]).toBe(radius * Math.sin(angle))
  expect(normals[2]).toBe(fillNormals(1, 2, 4)[2])
})

test('normals have mean 0, variance 1 and kurtosis 3', () => {
  const n = 40000
  const moment = (power: number) => fillNormals(3, 4, n).reduce((sum, x) => sum + x ** power, 0) / n
  expect(Math.abs(moment(1))).toBeLessThan(4 / Math.sqrt(n))
  expect(Math.abs(moment(2) - 1)).toBeLessThan((4 * Math.SQRT2) / Math.sqrt(n))
  expect(Math.abs(moment(4) - 3)).toBeLessThan((4 * Math.sqrt(96)) / Math.sqrt(n))
})

test('attention dropout takes eight 16-bit lanes per block, low half first', () => {
  const [w0, w1] = block([1, 5, 3, 2], [11, 13])
  const lanes = attentionDropoutLanes(11, 13, 2, 3, 5, 20)
  expect([...lanes.subarray(8, 12)]).toEqual([w0! & 0xffff, w0! >>> 16, w1! & 0xffff, w1! >>> 16])
  expect(lanes).toHaveLength(20)
})
