import { expect, test } from 'vitest'
import { hostBits, hostNormal, hostUniform, permutation, randomInt } from './host'
import { rngKey } from './key'
import { fillWords } from './philox'

const key = rngKey(123)

test('bits and uniforms come from the fill stream of the key', () => {
  const words = fillWords(123, 0, 7)
  expect(hostBits(key, 7)).toEqual(words)
  expect([...hostUniform(key, 7)]).toEqual([...words].map(w => Math.floor(w / 256) / 2 ** 24))
})

test('a shorter draw is the beginning of a longer one', () => {
  expect(hostUniform(key, 5)).toEqual(hostUniform(key, 50).slice(0, 5))
  expect(hostNormal(key, 5)).toEqual(hostNormal(key, 50).slice(0, 5))
})

test('a permutation holds every number once and depends on the key alone', () => {
  const order = permutation(key, 1000)
  expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i))
  expect(permutation(rngKey(123), 1000)).toEqual(order)
  expect(permutation(rngKey(124), 1000)).not.toEqual(order)
  expect([...permutation(key, 0)]).toEqual([])
  expect([...permutation(key, 1)]).toEqual([0])
})

test('permutations never change', () => {
  expect([...permutation(rngKey(42), 10)]).toEqual([6, 1, 4, 0, 5, 8, 3, 2, 7, 9])
})

test('all orders of three are equally likely', () => {
  const counts = new Map<string, number>()
  const draws = 6000
  for (let i = 0; i < draws; i++) {
    const order = permutation(key.foldIn(i), 3).join()
    counts.set(order, (counts.get(order) ?? 0) + 1)
  }
  expect(counts.size).toBe(6)
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(5 * Math.sqrt(1000 * (5 / 6)))
})

test('bounded integers reject words that would bias them', () => {
  // Eight words fall on three values here: without rejection, values ≡ 2 (mod 3) get 2/8 of the draws, not 1/3.
  const bound = 3 * 2 ** 29
  const draws = 4000
  const values = randomInt(key, draws, bound)
  const perThird = [0, 0, 0]
  for (const value of values) perThird[value % 3]++
  for (const count of perThird) expect(Math.abs(count - draws / 3)).toBeLessThan(5 * Math.sqrt((draws * 2) / 9))
  expect(values.every(v => v >= 0 && v < bound)).toBe(true)
  expect(randomInt(key, 3, 1)).toEqual(new Int32Array(3))
})

test('bad counts and bounds are refused', () => {
  for (const count of [-1, 1.5, Number.NaN]) {
    for (const draw of [hostBits, hostUniform, hostNormal, permutation])
      expect(() => draw(key, count)).toThrow(/count is/)
  }
  for (const bound of [0, -2, 1.5, Number.NaN, 2 ** 31 + 1]) expect(() => randomInt(key, 1, bound)).toThrow(/bound is/)
})
