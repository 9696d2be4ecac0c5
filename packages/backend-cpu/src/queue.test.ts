// The queue and the memory of the CPU device, seen through core's Backend interface.

import { type Backend, createDevice, type Operand, type Program, program } from '@ditkit/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CpuBackend } from './backend'
import { loadAddon } from './native'

const MIB = 2 ** 20

let backend: Backend

function open(options: { memoryLimit?: number; threads?: number } = {}): Backend {
  const { memoryLimit = 2 ** 32, threads = 2 } = options
  return new CpuBackend(loadAddon(), { threads, isa: 'baseline', memoryLimit, description: '', attentionKernels: [] })
}

beforeEach(() => {
  backend = open()
})
afterEach(() => backend.dispose())

function f32(shape: number[]): Operand {
  const bytes = 4 * shape.reduce((a, b) => a * b, 1)
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1))
  return { storage: { handle: backend.alloc(bytes), bytes }, byteOffset: 0, shape, strides, dtype: 'f32' }
}

async function values(operand: Operand): Promise<number[]> {
  const { storage, byteOffset, shape } = operand
  const bytes = await backend.read(storage, byteOffset, 4 * shape.reduce((a, b) => a * b, 1))
  return [...new Float32Array(bytes.buffer)]
}

function write(operand: Operand, numbers: Float32Array | Int32Array): void {
  backend.write(operand.storage, operand.byteOffset, new Uint8Array(numbers.buffer))
}

const INCREMENT: Program = program('increment', 1, 1, (b, x, by) => b.add(x, by))

describe('order', () => {
  test('a read sees what was enqueued before it and nothing after', async () => {
    const x = f32([1000])
    backend.fill(x, 1)
    const first = values(x)
    backend.fill(x, 2)
    const second = values(x)
    write(x, new Float32Array(1000).fill(3))
    const third = values(x)
    expect(new Set(await first)).toEqual(new Set([1]))
    expect(new Set(await second)).toEqual(new Set([2]))
    expect(new Set(await third)).toEqual(new Set([3]))
  })

  test('a write copies its data at the call', async () => {
    const big = f32([MIB])
    for (let i = 0; i < 50; i++) backend.fill(big, i)
    const x = f32([4])
    const data = Float32Array.of(1, 2, 3, 4)
    write(x, data)
    data.fill(9)
    expect(await values(x)).toEqual([1, 2, 3, 4])
  })

  test('memory freed and handed out again still serves the work enqueued before', async () => {
    const out = f32([MIB])
    for (let i = 0; i < 20; i++) {
      const x = f32([MIB])
      backend.fill(x, i)
      backend.elementwise(INCREMENT, [MIB], [x], [1], [out])
      backend.free(x.storage.handle)
    }
    expect((await values(out))[12345]).toBe(20)
  })

  test('more commands than the queue holds all run', async () => {
    const x = f32([3])
    backend.fill(x, 0)
    const count = 200_000
    for (let i = 0; i < count; i++) backend.elementwise(INCREMENT, [3], [x], [1], [x])
    expect(await values(x)).toEqual([count, count, count])
  })

  test('more staged bytes than the queue holds are all written', async () => {
    const big = f32([4 * MIB])
    const data = new Float32Array(4 * MIB)
    for (let i = 0; i < 40; i++) {
      data[77] = i
      backend.elementwise(INCREMENT, [4 * MIB], [big], [1], [big])
      write(big, data)
    }
    expect((await values(big))[77]).toBe(39)
  })

  test('sync resolves after reads that were asked for before it', async () => {
    const x = f32([1])
    backend.fill(x, 5)
    const events: string[] = []
    const read = values(x).then(() => events.push('read'))
    const sync = backend.sync().then(() => events.push('sync'))
    await Promise.all([read, sync])
    expect(events).toEqual(['read', 'sync'])
  })
})

describe('memory', () => {
  test('what was allocated and freed leaves no live bytes, and trim gives the cache back', async () => {
    const handles = [0, 1, 100, 4096, MIB, 3 * MIB].map(bytes => backend.alloc(bytes))
    const total = 1 + 100 + 4096 + 4 * MIB
    expect(backend.memory()).toMatchObject({ liveBytes: total, peakBytes: total, cachedBytes: 0 })
    for (const handle of handles) backend.free(handle)
    expect(backend.memory().liveBytes).toBe(0)
    expect(backend.memory().cachedBytes).toBeGreaterThanOrEqual(total)
    backend.trim()
    expect(backend.memory()).toMatchObject({ liveBytes: 0, peakBytes: total, cachedBytes: 0 })
  })

  test('a steady loop of sizes stops growing', () => {
    const round = () => {
      const handles = [100, 5000, 70_000, MIB].map(bytes => backend.alloc(bytes))
      for (const handle of handles) backend.free(handle)
    }
    round()
    const { cachedBytes } = backend.memory()
    for (let i = 0; i < 1000; i++) round()
    expect(backend.memory().cachedBytes).toBe(cachedBytes)
  })

  test('an allocation beyond the limit throws and names the bytes', () => {
    backend.dispose()
    backend = open({ memoryLimit: 10 * MIB })
    expect(() => backend.alloc(11 * MIB)).toThrow(
      /11534336 bytes were asked for, 0 are in use and the limit is 10485760/,
    )
    const kept = backend.alloc(6 * MIB)
    expect(() => backend.alloc(6 * MIB)).toThrow(/6291456 bytes were asked for, 6291456 are in use/)
    backend.free(kept)
    expect(() => backend.alloc(6 * MIB)).not.toThrow()
  })

  test('the cache makes way for an allocation of another size', () => {
    backend.dispose()
    backend = open({ memoryLimit: 10 * MIB })
    backend.free(backend.alloc(6 * MIB))
    expect(backend.memory().cachedBytes).toBe(6 * MIB)
    backend.alloc(8 * MIB)
    expect(backend.memory()).toMatchObject({ liveBytes: 8 * MIB, cachedBytes: 0 })
  })

  test('a freed handle is refused, also when its slot was given out again', () => {
    const x = f32([4])
    backend.free(x.storage.handle)
    const y = f32([4])
    expect(() => backend.fill(x, 1)).toThrow(/memory was freed/)
    expect(() => backend.free(x.storage.handle)).toThrow(/not the handle of a live storage/)
    backend.fill(y, 1)
  })

  test('a thousand steps leave live bytes, the cache and the scratch memory as they were', async () => {
    const x = f32([64, 64])
    backend.fill(x, 1)
    const step = () => {
      const y = f32([64, 64])
      backend.matmul(x, x, y)
      backend.elementwise(INCREMENT, [64, 64], [y], [1], [y])
      backend.free(y.storage.handle)
    }
    step()
    await backend.sync()
    const before = backend.memory()
    for (let i = 0; i < 1000; i++) step()
    await backend.sync()
    expect(backend.memory()).toEqual(before)
  })
})

describe('faults', () => {
  const site = { op: 'embedding', stack: 'Error\n    at user (model.ts:12:3)' }

  function index(numbers: number[]): Operand {
    const operand = { ...f32([numbers.length]), dtype: 'i32' as const }
    write(operand, Int32Array.from(numbers))
    return operand
  }

  test('an index out of range is clamped and rejects the next read once, naming op, value and call', async () => {
    const table = f32([3, 2])
    write(table, Float32Array.of(0, 1, 10, 11, 20, 21))
    const out = f32([3, 2])
    backend.gather(table, index([1, 7, -4]), out, site)
    const expected =
      'embedding: index 7 at position 1 is outside 0 … 2 (the table has 3 rows) (called at user (model.ts:12:3))'
    await expect(backend.sync()).rejects.toThrow(expected)
    expect(await values(out)).toEqual([10, 11, 20, 21, 0, 1])
  })

  test('the first of several faults is the one that is reported', async () => {
    const table = f32([3])
    const out = f32([1])
    backend.gather(table, index([5]), out, site)
    backend.scatterAdd(table, index([-2]), out, { op: 'other' })
    await expect(values(out)).rejects.toThrow(/^embedding: index 5 at position 0/)
    await backend.sync()
  })

  test('scatterAdd adds in the order of the index and clamps what is out of range', async () => {
    const table = f32([3, 1])
    backend.fill(table, 0)
    const source = f32([4, 1])
    write(source, Float32Array.of(2 ** 24, 1, 1, 5))
    backend.scatterAdd(table, index([1, 1, 1, 3]), source, site)
    await expect(backend.sync()).rejects.toThrow(/index 3 at position 3/)
    // One at a time: 2^24 + 1 rounds to 2^24, twice. Summed first, the ones would have counted.
    expect(await values(table)).toEqual([0, 2 ** 24, 5])
  })

  test('a check that fails reports its message', async () => {
    const condition: Operand = { ...f32([1]), shape: [3], strides: [1], dtype: 'bool' }
    backend.write(condition.storage, 0, Uint8Array.of(1, 1, 1))
    backend.check(condition, { op: 'adamw' }, 'the loss is not finite')
    await backend.sync()
    backend.write(condition.storage, 0, Uint8Array.of(1, 0, 1))
    backend.check(condition, { op: 'adamw' }, 'the loss is not finite')
    await expect(backend.sync()).rejects.toThrow('adamw: the loss is not finite')
    await backend.sync()
  })

  test('a fault of the device is sticky', async () => {
    // A row so long that no address space holds its scratch.
    const one = f32([1])
    const shape = [2 ** 40]
    const sum = program('sum', 1, 0, (b, x) => b.rowSum(x))
    backend.elementwise(sum, shape, [one], [], [one])
    await expect(backend.sync()).rejects.toThrow(/out of memory for scratch space/)
    await expect(values(one)).rejects.toThrow(/out of memory for scratch space/)
    await expect(backend.sync()).rejects.toThrow(/no longer valid/)
  })
})

describe('dispose', () => {
  test('rejects what is under way and later calls throw', async () => {
    const x = f32([MIB])
    for (let i = 0; i < 100; i++) backend.fill(x, i)
    const read = backend.read(x.storage, 0, 4)
    const sync = backend.sync()
    backend.dispose()
    await expect(read).rejects.toThrow('cpu: the device was disposed')
    await expect(sync).rejects.toThrow('cpu: the device was disposed')
    expect(() => backend.alloc(1)).toThrow(/disposed/)
    expect(() => backend.fill(x, 1)).toThrow(/disposed/)
    await expect(backend.sync()).rejects.toThrow(/disposed/)
    backend.dispose()
  })

  test('a device of core over it answers and ends', async () => {
    const device = createDevice(open())
    const tensor = device.tensor([1, 2, 3], [3])
    expect([...(await tensor.data())]).toEqual([1, 2, 3])
    device.dispose()
  })
})
