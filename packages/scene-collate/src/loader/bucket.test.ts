import { hostUniform, rngKey } from '@ditkit/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bucketByLength, DataLoader, type Dataset, paddingWaste } from '../index'

/** 500 to 20,000 points, as many of each. */
const LENGTHS = Int32Array.from(hostUniform(rngKey(3), 1000), u => 500 + Math.floor(u * 19_501))

test('1,000 scenes of 500 to 20,000 points waste under 15 %, in batches as random as that allows', () => {
  for (const batchSize of [4, 16, 64]) {
    const { batches, waste, pool } = bucketByLength(LENGTHS, { batchSize, maxWaste: 0.15 })
    expect(waste).toBeLessThan(0.15)
    expect(pool).toBeLessThanOrEqual(512)
    expect([...batches.flatMap(batch => [...batch])].sort((a, b) => a - b)).toEqual([...Array(1000).keys()])
    expect(bucketByLength(LENGTHS, { batchSize, maxWaste: 1 }).waste).toBeGreaterThan(0.3)
  }
})

test('the waste reported is that of the batches', async () => {
  const lengths = LENGTHS.slice(0, 60).map(length => Math.ceil(length / 100))
  const dataset: Dataset = { length: 60, lengths, get: i => ({ points: new Float32Array(3 * lengths[i]) }) }
  const loader = new DataLoader(dataset, { batchSize: 5, maxWaste: 0.1 })
  let [slots, padding] = [0, 0]
  for await (const batch of loader) {
    const size = batch.points.shape[0] * batch.points.shape[1]
    slots += size
    padding += size * paddingWaste(batch)
  }
  expect(padding / slots).toBeCloseTo(bucketByLength(lengths, { batchSize: 5, maxWaste: 0.1 }).waste, 10)
})

test('every epoch has batches of its own, each scene once, in an order that does not follow the length', () => {
  const of = (epoch: number) => bucketByLength(LENGTHS, { batchSize: 8, epoch }).batches.map(batch => [...batch])
  expect(of(0)).toEqual(of(0))
  const [first, second] = [of(0), of(1)]
  const together = new Set(first.map(batch => batch.join()))
  expect(second.filter(batch => together.has(batch.join()))).toEqual([])
  const mean = first.map(batch => batch.reduce((sum, i) => sum + LENGTHS[i], 0) / 8)
  let rises = 0
  for (let i = 1; i < mean.length; i++) if (mean[i] > mean[i - 1]) rises++
  expect(Math.abs(rises / mean.length - 0.5)).toBeLessThan(0.2)
})

test('any lengths and options: each scene once, or dropLast leaves out what fills no batch', () => {
  const options = fc.record({
    batchSize: fc.integer({ min: 1, max: 9 }),
    maxWaste: fc.double({ min: 0, max: 1, noNaN: true }),
    shuffle: fc.boolean(),
    dropLast: fc.boolean(),
    seed: fc.nat(),
  })
  fc.assert(
    fc.property(fc.array(fc.nat(50), { maxLength: 60 }), options, (lengths, given) => {
      const { batches, waste } = bucketByLength(lengths, given)
      const scenes = batches.flatMap(batch => [...batch])
      const missing = given.dropLast ? lengths.length % given.batchSize : 0
      expect(new Set(scenes).size).toBe(lengths.length - missing)
      expect(scenes).toHaveLength(lengths.length - missing)
      expect(batches.every(batch => batch.length <= given.batchSize)).toBe(true)
      expect(waste >= 0 && waste < 1).toBe(true)
    }),
  )
})

test('dropLast leaves out other scenes in each epoch, not the longest', () => {
  const left = new Set<number>()
  for (let epoch = 0; epoch < 30; epoch++) {
    const kept = new Set(
      bucketByLength(LENGTHS, { batchSize: 64, maxWaste: 0, dropLast: true, epoch }).batches.flatMap(b => [...b]),
    )
    for (let i = 0; i < 1000; i++) if (!kept.has(i)) left.add(i)
  }
  expect(left.size).toBeGreaterThan(500)
})

test('without shuffling, scenes keep their order', () => {
  expect(bucketByLength([3, 1, 2, 5], { batchSize: 3, shuffle: false, maxWaste: 1 }).batches).toEqual([
    Int32Array.of(0, 1, 2),
    Int32Array.of(3),
  ])
  expect(() => bucketByLength([1], { batchSize: 0 })).toThrow(/batchSize is 0/)
  expect(() => bucketByLength([1], { batchSize: 1, maxWaste: 2 })).toThrow(/maxWaste is 2/)
})
