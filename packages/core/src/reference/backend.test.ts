import { expect, test } from 'vitest'
import type { Backend, Operand } from '../backend'
import { bytesPerElement, type DType, type HostArray, hostArray } from '../dtype'
import { hostBits, hostNormal, hostUniform } from '../random/host'
import { rngKey } from '../random/key'
import { contiguousStrides, sizeOf } from '../shape'
import { referenceBackend } from './backend'

function allocate(backend: Backend, shape: number[], dtype: DType): Operand {
  const bytes = sizeOf(shape) * bytesPerElement(dtype)
  return {
    storage: { handle: backend.alloc(bytes), bytes },
    byteOffset: 0,
    shape,
    strides: contiguousStrides(shape),
    dtype,
  }
}

function upload(backend: Backend, data: HostArray, shape: number[], dtype: DType): Operand {
  const operand = allocate(backend, shape, dtype)
  backend.write(operand.storage, 0, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  return operand
}

async function download(backend: Backend, operand: Operand): Promise<number[]> {
  const bytes = await backend.read(operand.storage, 0, operand.storage.bytes)
  return [...hostArray(operand.dtype, bytes.buffer as ArrayBuffer)]
}

const site = { op: 'embedding', stack: 'Error\n    at train (train.ts:7:3)\n    at main (main.ts:1:1)' }

test('the default float dtype is the one asked for', () => {
  expect(referenceBackend().dtypes[0]).toBe('f32')
  expect(referenceBackend({ dtype: 'f64' }).dtypes[0]).toBe('f64')
  expect(() => referenceBackend({ dtype: 'f16' as 'f32' })).toThrow(/dtype is f16/)
})

test('memory is counted, and wrong uses of a handle throw', async () => {
  const backend = referenceBackend()
  const a = allocate(backend, [3], 'f32')
  const b = allocate(backend, [], 'f64')
  const none = allocate(backend, [0], 'f32')
  expect(backend.memory()).toEqual({ liveBytes: 20, peakBytes: 20, cachedBytes: 0 })
  backend.free(a.storage.handle)
  expect(backend.memory()).toEqual({ liveBytes: 8, peakBytes: 20, cachedBytes: 0 })
  expect(() => backend.free(a.storage.handle)).toThrow(/after it had been freed/)
  expect(() => backend.fill(a, 1)).toThrow(/after it had been freed/)
  await expect(backend.read(a.storage, 0, 4)).rejects.toThrow(/after it had been freed/)
  expect(() => referenceBackend().free(b.storage.handle)).toThrow(/another reference device/)
  expect(() => backend.free({})).toThrow(/not a buffer/)
  expect(() => backend.alloc(-1)).toThrow(/-1 bytes/)
  expect(await backend.read(none.storage, 0, 0)).toHaveLength(0)
})

test('after dispose nothing works', async () => {
  const backend = referenceBackend()
  const a = allocate(backend, [3], 'f32')
  backend.dispose()
  expect(backend.memory().liveBytes).toBe(0)
  expect(() => backend.alloc(4)).toThrow(/disposed/)
  expect(() => backend.fill(a, 1)).toThrow(/disposed/)
  await expect(backend.sync()).rejects.toThrow(/disposed/)
})

test('a view that reaches outside its memory throws', () => {
  const backend = referenceBackend()
  const a = allocate(backend, [4], 'f32')
  expect(() => backend.fill({ ...a, shape: [5] }, 0)).toThrow(/reaches outside its buffer of 16 bytes/)
  expect(() => backend.fill({ ...a, byteOffset: 4 }, 0)).toThrow(/reaches outside/)
  expect(() => backend.write(a.storage, 13, new Uint8Array(4))).toThrow(/outside a buffer of 16/)
})

test('a read is a copy taken in order, whatever is enqueued afterwards', async () => {
  const backend = referenceBackend()
  const a = upload(backend, Float32Array.of(1, 2), [2], 'f32')
  const before = download(backend, a)
  backend.fill(a, 9)
  expect(await before).toEqual([1, 2])
  expect(await download(backend, a)).toEqual([9, 9])
})

test('strided copies permute, slice and convert', async () => {
  const backend = referenceBackend()
  const src = upload(backend, Float32Array.of(1.5, -2.7, 0, 4, 5, 6), [2, 3], 'f32')
  const permuted = allocate(backend, [3, 2], 'i32')
  backend.copy({ ...src, shape: [3, 2], strides: [1, 3] }, permuted)
  expect(await download(backend, permuted)).toEqual([1, 4, -2, 5, 0, 6])
  const wide = allocate(backend, [2, 4], 'bool')
  backend.fill(wide, 0)
  backend.copy({ ...src, shape: [2, 2], byteOffset: 4 }, { ...wide, shape: [2, 2], byteOffset: 2 })
  expect(await download(backend, wide)).toEqual([0, 0, 1, 0, 0, 0, 1, 1])
  expect(() => backend.copy(src, permuted)).toThrow(/src has shape \[2, 3\] but dst \[3, 2\]/)
})

test('iota counts from start by step', async () => {
  const backend = referenceBackend()
  const dst = allocate(backend, [4], 'f32')
  backend.iota(dst, 1, -0.5)
  expect(await download(backend, dst)).toEqual([1, 0.5, 0, -0.5])
})

test('device fills equal the host draws of the same key', async () => {
  const backend = referenceBackend({ dtype: 'f64' })
  const key = rngKey(0xffffffff12345678n)
  const keyOperand = upload(backend, Int32Array.of(key.low, key.high), [2], 'i32')
  const [bits, uniform, normal] = [
    allocate(backend, [3, 3], 'i32'),
    allocate(backend, [9], 'f32'),
    allocate(backend, [9], 'f64'),
  ]
  backend.random(bits, keyOperand, 'bits')
  backend.random(uniform, keyOperand, 'uniform')
  backend.random(normal, keyOperand, 'normal')
  expect(await download(backend, bits)).toEqual([...Int32Array.from(hostBits(key, 9))])
  expect(await download(backend, uniform)).toEqual([...hostUniform(key, 9)])
  expect(await download(backend, normal)).toEqual([...hostNormal(key, 9)])
  expect(() => backend.random(uniform, keyOperand, 'bits')).toThrow(/bits are i32/)
})

test('gather takes rows and scatterAdd adds them back in order', async () => {
  const backend = referenceBackend()
  const table = upload(backend, Float32Array.of(1, 2, 3, 4, 5, 6), [3, 2], 'f32')
  const index = upload(backend, Int32Array.of(2, 0, 2), [3], 'i32')
  const rows = allocate(backend, [3, 2], 'f32')
  backend.gather(table, index, rows, site)
  expect(await download(backend, rows)).toEqual([5, 6, 1, 2, 5, 6])
  backend.scatterAdd(table, index, rows, site)
  expect(await download(backend, table)).toEqual([2, 4, 3, 4, 15, 18])
})

test('an index out of range is clamped and rejects the next read once, naming op, index and caller', async () => {
  const backend = referenceBackend()
  const table = upload(backend, Float32Array.of(1, 2, 3), [3], 'f32')
  const index = upload(backend, Int32Array.of(1, 7, -1), [3], 'i32')
  const rows = allocate(backend, [3], 'f32')
  backend.gather(table, index, rows, site)
  await expect(download(backend, rows)).rejects.toThrow(
    'embedding: index 7 at position 1 is outside 0 … 2 (the table has 3 rows) (called at train (train.ts:7:3))',
  )
  expect(await download(backend, rows)).toEqual([2, 3, 1])
  backend.scatterAdd(table, index, rows, site)
  await expect(backend.sync()).rejects.toThrow(/index 7/)
  await backend.sync()
  expect(await download(backend, table)).toEqual([2, 4, 6])
})

test('check reports when any element is 0, and the first fault wins', async () => {
  const backend = referenceBackend()
  const good = upload(backend, Uint8Array.of(1, 1), [2], 'bool')
  const bad = upload(backend, Uint8Array.of(1, 0), [2], 'bool')
  backend.check(good, site, 'never')
  await backend.sync()
  backend.check(bad, { op: 'attention' }, 'offsets do not ascend')
  backend.check(bad, site, 'later')
  await expect(backend.sync()).rejects.toThrow(/^attention: offsets do not ascend$/)
  await backend.sync()
})
