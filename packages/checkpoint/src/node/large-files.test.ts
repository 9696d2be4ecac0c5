// Files beyond 4 GiB, made sparse: they take no room on disk where the file system knows holes.
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stateDict } from '../index'
import { openPt, openSafetensors } from '../node'
import { encodeTree } from '../pt/pickle-writer'
import { PtTensor } from '../pt/tensor'
import { zipChunks } from '../pt/zip-writer'

const GIB = 2 ** 30
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ditkit-large-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Stands for that many zero bytes, which are skipped instead of written. */
class Hole extends Uint8Array {
  constructor(readonly hole: number) {
    super(0)
  }
}

async function writeSparse(path: string, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
  const file = await open(path, 'w')
  let at = 0
  for await (const chunk of chunks) {
    if (chunk instanceof Hole) at += chunk.hole
    else at += (await file.write(chunk, 0, chunk.length, at)).bytesWritten
  }
  await file.close()
}

const lazy = (elements: number) => ({
  shape: [elements],
  dtype: 'f32' as const,
  read: () => Promise.reject(new Error('not read here')),
})
const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer)

test('a .pt with a record above 4 GiB, and one that begins there, opens through zip64', async () => {
  const path = join(folder, 'large.pt')
  const { pickle } = encodeTree({ large: lazy((5 * GIB) / 4), late: lazy(2) })
  const record = (name: string, ...parts: Uint8Array[]) => ({
    name: `archive/${name}`,
    size: parts.reduce((sum, part) => sum + (part instanceof Hole ? part.hole : part.length), 0),
    chunks: () => parts,
  })
  const large = record('data/0', floats(1), new Hole(5 * GIB - 8), floats(2))
  const records = [
    record('data.pkl', pickle),
    large,
    record('data/1', floats(3, 4)),
    record('version', new Uint8Array(2)),
  ]
  await writeSparse(
    path,
    zipChunks(records, () => 0),
  )

  await using file = await openPt(path)
  const tensors = stateDict(file.value)
  const tensor = tensors.get('large')!
  expect(tensor.shape).toEqual([(5 * GIB) / 4])
  const offset = (5 * GIB) / 4 - 2
  const end = new PtTensor(tensor.storage, 'f32', { offset, shape: [2], strides: [1] })
  expect((await end.read()).data).toEqual(Float32Array.of(0, 2))
  expect((await tensors.get('late')!.read()).data).toEqual(Float32Array.of(3, 4))
})

test('a safetensors file reads tensors beyond 4 GiB', async () => {
  const path = join(folder, 'large.safetensors')
  const big = 5 * GIB
  const header = `{"big":{"dtype":"U8","shape":[${big}],"data_offsets":[0,${big}]},"late":{"dtype":"F32","shape":[2],"data_offsets":[${big},${big + 8}]}}`
  const text = new TextEncoder().encode(header)
  const length = new Uint8Array(BigUint64Array.of(BigInt(text.length)).buffer)
  await writeSparse(path, [length, text, new Hole(big), floats(3, 4)])

  await using file = await openSafetensors(path)
  expect(file.info('big')).toEqual({ shape: [big], dtype: 'u8', bytes: big })
  expect((await file.read('late')).data).toEqual(Float32Array.of(3, 4))
})
