import { expect, test } from 'vitest'
import { DataLoader, type Dataset, type Scene } from '../index'

const dataset: Dataset = {
  length: 7,
  lengths: [1, 2, 3, 4, 5, 6, 7],
  get: i => ({ name: `s${i}`, points: new Float32Array(3 * (i + 1)).fill(i) }),
}

async function names(loader: DataLoader): Promise<string[][]> {
  const all: string[][] = []
  for await (const batch of loader) all.push([...batch.names])
  return all
}

test('without workers, and with scenes at once or promised, an epoch has each scene once', async () => {
  const loader = new DataLoader(dataset, { batchSize: 3, shuffle: false })
  const expected = [['s0', 's1', 's2'], ['s3', 's4', 's5'], ['s6']]
  expect(loader.batchesPerEpoch).toBe(3)
  expect(await names(loader)).toEqual(expected)
  expect(await names(loader)).toEqual(expected)
  const promised = { ...dataset, get: async (i: number) => dataset.get(i) }
  expect(await names(new DataLoader(promised, { batchSize: 3, shuffle: false }))).toEqual(expected)
})

test('an iteration that was left is taken up where it was left', async () => {
  const loader = new DataLoader(dataset, { batchSize: 2, shuffle: false })
  for await (const batch of loader) if (batch.names.includes('s2')) break
  expect(loader.state()).toEqual({ seed: 0, batchSize: 2, length: 7, epoch: 0, batch: 2, skipped: 0 })
  expect(await names(loader)).toEqual([['s4', 's5'], ['s6']])
  expect(loader.state()).toMatchObject({ epoch: 1, batch: 0 })
})

test('a state that was taken at the last batch begins the next epoch', async () => {
  const loader = new DataLoader(dataset, { batchSize: 4 })
  const iterator = loader[Symbol.asyncIterator]()
  await iterator.next()
  await iterator.next()
  const state = loader.state()
  expect(state).toMatchObject({ epoch: 1, batch: 0 })
  await iterator.next()
  expect(await names(new DataLoader(dataset, { batchSize: 4, state }))).toEqual(await names(loader))
})

test('points at one place in the augmentation of a scene do not depend on its batch', async () => {
  const jitter = async (batchSize: number) => {
    const found = new Map<string, number>()
    const loader = new DataLoader(dataset, { batchSize, shuffle: batchSize > 2, augment: { jitter: 1, rotate: true } })
    for await (const { names, points } of loader)
      for (const [b, name] of names.entries()) found.set(name, points.data[b * points.shape[1] * 3])
    return [...found].sort()
  }
  expect(await jitter(3)).toEqual(await jitter(1))
})

test('what is random in a scene is other in another epoch, and with another seed', async () => {
  const steps = {
    batchSize: 7,
    shuffle: false,
    maxPoints: { policy: 'random', count: 3 },
    augment: { jitter: 1 },
  } as const
  const epochs: string[] = []
  for (const seed of [0, 1]) {
    const loader = new DataLoader(dataset, { ...steps, seed })
    for (let epoch = 0; epoch < 2; epoch++) for await (const { points } of loader) epochs.push(points.data.join())
  }
  expect(new Set(epochs).size).toBe(4)
})

test('waste is reported for padded batches of known lengths', () => {
  const options = { batchSize: 2, shuffle: false }
  expect(new DataLoader(dataset, options).waste).toBeCloseTo(1 - 28 / 31)
  expect(new DataLoader(dataset, { ...options, collate: { layout: 'packed' } }).waste).toBeUndefined()
  expect(new DataLoader({ ...dataset, lengths: undefined }, options).waste).toBeUndefined()
})

test('what makes no sense is refused', async () => {
  expect(() => new DataLoader(dataset, { batchSize: 0 })).toThrow(/batchSize is 0/)
  expect(() => new DataLoader(dataset, { batchSize: 1, prefetch: 0 })).toThrow(/prefetch is 0/)
  expect(() => new DataLoader({ ...dataset, lengths: undefined }, { batchSize: 1, maxWaste: 0.1 })).toThrow(
    /maxWaste needs the lengths/,
  )
  expect(() => new DataLoader({ ...dataset, lengths: [1] }, { batchSize: 1 })).toThrow(/7 scenes but 1 lengths/)
  const state = new DataLoader(dataset, { batchSize: 2 }).state()
  expect(() => new DataLoader(dataset, { batchSize: 3, state })).toThrow(/its batchSize is 2, here it is 3/)
  expect(() => new DataLoader(dataset, { batchSize: 2, seed: 1, state })).toThrow(/its seed is 0, here it is 1/)
  const loader = new DataLoader(dataset, { batchSize: 2 })
  await loader[Symbol.asyncIterator]().next()
  await expect(loader[Symbol.asyncIterator]().next()).rejects.toThrow(/is being iterated already/)
})

test('scenes of one batch that differ in their fields end the iteration, skipBad or not', async () => {
  const mixed: Dataset = {
    length: 2,
    get: (i): Scene => ({ points: new Float32Array(3), ...(i && { texts: { prompt: 'a mug' } }) }),
  }
  await expect(names(new DataLoader(mixed, { batchSize: 2, skipBad: true, shuffle: false }))).rejects.toThrow(
    /prompt: is in its texts/,
  )
})
