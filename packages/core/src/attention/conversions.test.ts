import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  attention,
  backward,
  type Device,
  fromAdditiveMask,
  fromBatchHeads,
  fromBlockedMask,
  fromSequenceFirst,
  mergeHeads,
  normal,
  reference,
  rngKey,
  splitHeads,
  type Tensor,
  toAdditiveMask,
  toBatchHeads,
  toBlockedMask,
  toSequenceFirst,
} from '../index'

let device: Device
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
})
afterAll(() => device.dispose())

const values = async (t: Tensor) => [...(await t.data())]
const blocked = () => device.tensor(Uint8Array.of(1, 0, 0, 0, 1, 1), [2, 3])

it('a blocked mask becomes one of what takes part, and back', async () => {
  const mask = fromBlockedMask(blocked())
  expect(await values(mask)).toEqual([0, 1, 1, 1, 0, 0])
  expect(await values(toBlockedMask(mask))).toEqual(await values(blocked()))
})

it('an additive mask comes apart into a mask and a finite bias, and together again', async () => {
  const numbers = [Number.NEGATIVE_INFINITY, 0.5, -3, 0, Number.NEGATIVE_INFINITY, 7]
  const additive = device.tensor(numbers, [2, 3])
  const { mask, bias } = fromAdditiveMask(additive)
  expect(await values(mask)).toEqual([0, 1, 1, 1, 0, 1])
  expect(await values(bias)).toEqual([0, 0.5, -3, 0, 0, 7])
  expect(await values(toAdditiveMask(mask, bias))).toEqual(numbers)
  expect(await values(toAdditiveMask(mask))).toEqual([-Infinity, 0, 0, 0, -Infinity, 0])
})

it('a large negative number is −∞ only where it was said to be', async () => {
  const additive = device.tensor([-1e9, -2, Number.NaN], [3])
  expect(await values(fromAdditiveMask(additive).mask)).toEqual([1, 1, 1])
  const { mask, bias } = fromAdditiveMask(additive, { blockedAt: -1e8 })
  expect(await values(mask)).toEqual([0, 1, 1])
  expect(await values(bias)).toEqual([0, -2, Number.NaN])
})

it('an additive mask gives what its two parts give, with the same gradient', async () => {
  const [q, k, v] = [1, 2, 3].map(seed => normal(device, [2, 3, 2, 4], rngKey(seed)))
  const numbers = [0.5, -Infinity, 1, -2, 0, -Infinity, -Infinity, -Infinity, -Infinity]
  const make = () => device.tensor(numbers, [3, 3], { requiresGrad: true })
  const [whole, parts] = [make(), make()]
  const one = attention(q!, k!, v!, { bias: whole })
  const two = attention(q!, k!, v!, fromAdditiveMask(parts))
  expect(await values(one)).toEqual(await values(two))
  backward(one, device.ones(one.shape))
  backward(two, device.ones(two.shape))
  expect(await values(whole.grad!)).toEqual(await values(parts.grad!))
})

it('tokens first becomes batch first and back, and heads split and merge', async () => {
  const x = device.tensor(
    Float64Array.from({ length: 24 }, (_, i) => i),
    [3, 2, 4],
    { requiresGrad: true },
  )
  const batchFirst = fromSequenceFirst(x)
  expect(batchFirst.shape).toEqual([2, 3, 4])
  expect((await values(batchFirst)).slice(0, 8)).toEqual([0, 1, 2, 3, 8, 9, 10, 11])
  expect(await values(toSequenceFirst(batchFirst))).toEqual(await values(x))
  const heads = splitHeads(batchFirst, 2)
  expect(heads.shape).toEqual([2, 3, 2, 2])
  expect(heads.storage).toBe(batchFirst.storage)
  const merged = mergeHeads(heads)
  expect(merged.shape).toEqual([2, 3, 4])
  backward(merged, batchFirst)
  expect(await values(x.grad!)).toEqual(await values(x))
})

it('heads in the batch become an axis without a copy, and back', async () => {
  const pairs = device.tensor(
    Float64Array.from({ length: 24 }, (_, i) => i),
    [4, 2, 3],
  )
  const split = fromBatchHeads(pairs, 2)
  expect(split.shape).toEqual([2, 2, 2, 3])
  expect(split.storage).toBe(pairs.storage)
  expect(toBatchHeads(split, 2, 2).storage).toBe(pairs.storage)
  const shared = device.tensor(Uint8Array.of(1, 0, 0, 1), [2, 1, 1, 2])
  expect(await values(toBatchHeads(shared, 2, 3))).toEqual([1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1])
})

it('what does not fit is refused, naming what was expected', () => {
  const x = device.zeros([2, 3, 4])
  const ones = device.ones([2, 3])
  expect(() => fromBlockedMask(ones)).toThrow('fromBlockedMask: blocked is f64 (expected bool)')
  expect(() => toBlockedMask(ones)).toThrow('expected bool')
  expect(() => fromAdditiveMask(blocked())).toThrow('additive is bool (expected a float dtype)')
  expect(() => fromAdditiveMask(ones, { blockedAt: 0 })).toThrow('blockedAt is 0')
  expect(() => fromSequenceFirst(ones)).toThrow('[2, 3] (expected [tokens, batch, channels])')
  expect(() => splitHeads(x, 3)).toThrow('3 heads do not divide the channels of 4')
  expect(() => fromBatchHeads(x, 4)).toThrow('4 heads do not divide a batch of 2')
  expect(() => toBatchHeads(device.zeros([2, 1, 3, 4]), 3, 8)).toThrow('expected [3 or 1, 8 or 1, queries, keys]')
})
