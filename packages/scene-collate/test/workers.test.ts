import { spawnSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  DataLoader,
  type Dataset,
  type LoaderOptions,
  type PaddedRows,
  type SceneBatch,
  SceneError,
} from '../src/index'
import { openWorkers } from '../src/node'
import { buildPackage } from './build-package'

const MODULE = new URL('./dataset.mjs', import.meta.url)
/** What dataset.mjs takes. */
interface Data {
  length?: number
  bad?: number[]
  throws?: number[]
  dies?: number[]
  factor?: number
  log?: Int32Array
}
const OPTIONS: LoaderOptions = {
  batchSize: 3,
  seed: 5,
  maxWaste: 0.3,
  maxPoints: { policy: 'random', count: 12 },
  normalise: {},
  augment: { rotate: true, scale: [0.8, 1.2], jitter: 0.01, dropout: 0.2 },
}
let folder: string
let program: URL
let makeDataset: (data: Data) => Dataset

beforeAll(async () => {
  folder = await buildPackage()
  program = pathToFileURL(join(folder, 'worker.mjs'))
  makeDataset = (await import(/* @vite-ignore */ MODULE.href)).default
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function open(workers: number, data: Data, options: LoaderOptions = OPTIONS) {
  if (workers === 0) return new DataLoader(makeDataset(data), options)
  return new DataLoader(await openWorkers(MODULE, { workers, data, program }), options)
}

async function take(loader: DataLoader, most = Infinity): Promise<SceneBatch[]> {
  const batches: SceneBatch[] = []
  for await (const batch of loader) {
    batches.push(batch)
    if (batches.length >= most) break
  }
  return batches
}

test('two epochs are the same with 0, 1 and 3 workers, and not each other', async () => {
  const epochs: SceneBatch[][][] = []
  for (const workers of [0, 1, 3]) {
    const loader = await open(workers, {})
    epochs.push([await take(loader), await take(loader)])
    await loader.close()
  }
  const [none, one, three] = epochs
  expect(none[0]).toHaveLength(14)
  expect(none[0].flatMap(batch => batch.names)).toHaveLength(40)
  expect(one).toEqual(none)
  expect(three).toEqual(none)
  expect(none[1].map(batch => batch.names)).not.toEqual(none[0].map(batch => batch.names))
})

test('a loader resumed at any batch, with any number of workers, goes on as the one that was not stopped', async () => {
  const whole = await open(0, {})
  const expected = [...(await take(whole)), ...(await take(whole))]
  for (const [stop, workers] of [
    [0, 2],
    [5, 1],
    [13, 0],
    [14, 2],
    [20, 2],
  ]) {
    const first = await open(2, {})
    const taken = await take(first, Math.min(stop, 14) || 1)
    if (stop > 14) taken.push(...(await take(first, stop - 14)))
    const state = structuredClone(first.state())
    await first.close()
    const second = await open(workers, {}, { ...OPTIONS, state })
    const rest = await take(second)
    if (rest.length < expected.length - taken.length) rest.push(...(await take(second)))
    expect([...taken, ...rest]).toEqual(expected)
    await second.close()
  }
})

test('an exception in a worker names the scene, in its place in the order', async () => {
  for (const workers of [0, 2]) {
    const loader = await open(workers, { throws: [17] }, { batchSize: 4, shuffle: false })
    const names: string[] = []
    const iterate = async () => {
      for await (const batch of loader) names.push(...batch.names)
    }
    await expect(iterate()).rejects.toThrow('scene "s17": cannot be read: no such file')
    expect(names).toHaveLength(16)
    expect(loader.state().batch).toBe(4)
    await loader.close()
  }
})

test('a worker that dies is reported with the scene it was reading, and the others do not hang', async () => {
  const loader = await open(2, { dies: [9] }, { batchSize: 2, shuffle: false })
  const failure = await take(loader).catch(error => error)
  expect(failure).toBeInstanceOf(SceneError)
  expect(failure.message).toBe('scene "s9": the worker that was reading it ended with exit code 3')
  await loader.close()
})

test('bad scenes are skipped and counted only when that is allowed', async () => {
  for (const workers of [0, 2]) {
    const data = { bad: [3, 4, 5], throws: [11] }
    const strict = await open(workers, data, { batchSize: 3, shuffle: false })
    await expect(take(strict)).rejects.toThrow(/scene "s3": points: point 0 has NaN/)
    await strict.close()
    const lenient = await open(workers, data, { batchSize: 3, shuffle: false, skipBad: true })
    const batches = await take(lenient)
    expect(batches).toHaveLength(13) // one batch was bad throughout
    expect(batches.flatMap(batch => batch.names)).toHaveLength(36)
    expect(lenient.skippedCount).toBe(4)
    expect(lenient.skipped.map(({ index }) => index)).toEqual([3, 4, 5, 11])
    expect(lenient.skipped[3].reason).toBe('scene "s11": cannot be read: no such file')
    expect(lenient.state().skipped).toBe(4)
    await lenient.close()
  }
})

test('no more batches are made than the prefetch allows', async () => {
  const log = new Int32Array(new SharedArrayBuffer(4))
  const loader = await open(2, { length: 400, log }, { batchSize: 4, prefetch: 3 })
  let taken = 0
  for await (const _ of loader) {
    taken++
    await new Promise(resolve => setTimeout(resolve, 30))
    expect(Atomics.load(log, 0)).toBeLessThanOrEqual(4 * (taken + 3))
    if (taken === 5) break
  }
  await loader.close()
})

test('with reuseMemory batches are the same, padding included, and are empty once the next one is taken', async () => {
  const data = { length: 30, factor: 80 } // large enough for memory to be kept
  const options = { batchSize: 4, collate: { padding: { points: Number.NaN } } }
  const bytes = ({ points, sets }: SceneBatch) =>
    [points.data, (points as PaddedRows).mask, sets.grasps.data].map(({ buffer, byteOffset, byteLength }) =>
      Buffer.from(buffer, byteOffset, byteLength).toString('base64'),
    )
  for (const workers of [0, 2]) {
    const fresh = await open(workers, data, options)
    const again = await open(workers, data, { ...options, reuseMemory: true })
    for (let epoch = 0; epoch < 2; epoch++) {
      const expected = await take(fresh)
      let before: SceneBatch | undefined
      for await (const batch of again) {
        expect(bytes(batch).join() === bytes(expected.shift()!).join()).toBe(true)
        expect(before?.points.data.length ?? 0).toBe(0)
        before = batch
      }
      expect(expected).toEqual([])
    }
    await fresh.close()
    await again.close()
  }
})

test('a module that has no dataset, or cannot be imported, is refused', async () => {
  const module = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return pathToFileURL(join(folder, name))
  }
  const open = (url: URL) => openWorkers(url, { program, workers: 1 })
  await expect(open(module('a.mjs', 'export const dataset = 1'))).rejects.toThrow(/its default export is no dataset/)
  await expect(open(module('b.mjs', 'throw new Error("no data here")'))).rejects.toThrow('no data here')
  await expect(open(new URL('./missing.mjs', pathToFileURL(`${folder}/`)))).rejects.toThrow(/Cannot find module/)
  await expect(openWorkers(MODULE, { workers: 0 })).rejects.toThrow(/workers is 0/)
})

test('a closed loader rejects', async () => {
  const loader = await open(1, {})
  await loader.close()
  await expect(take(loader)).rejects.toThrow('DataLoader: it was closed')
})

test('a program that leaves a loader in the middle of an epoch, without closing it, ends by itself', () => {
  const script = join(folder, 'leaves.mjs')
  writeFileSync(
    script,
    `import { DataLoader } from './index.mjs'
     import { openWorkers } from './node.mjs'
     const program = new URL('./worker.mjs', import.meta.url)
     const source = await openWorkers(${JSON.stringify(MODULE.href)}, { program, data: { length: 100 } })
     for await (const batch of new DataLoader(source, { batchSize: 2 })) {
       console.log(batch.size)
       break
     }`,
  )
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [script], {
    timeout: 240_000,
    encoding: 'utf8',
  })
  expect({ status, signal, stdout, stderr }).toEqual({ status: 0, signal: null, stdout: '2\n', stderr: '' })
})
