// A weight that products read again and again is packed once; the results and the memory that must not show.

import { type Backend, type Operand, type Program, program } from '@ditkit/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CpuBackend } from './backend'
import { loadAddon } from './native'

const [M, K, N] = [7, 130, 150]
const PACKED_BYTES = 4 * K * 152 // columns of whole panels of 8 floats, the baseline's
const INCREMENT: Program = program('increment', 1, 1, (b, x, by) => b.add(x, by))

let backend: Backend

function open(memoryLimit: number): Backend {
  return new CpuBackend(loadAddon(), {
    threads: 2,
    isa: 'baseline',
    memoryLimit,
    description: '',
    attentionKernels: [],
  })
}

beforeEach(() => {
  backend = open(2 ** 30)
})
afterEach(() => backend.dispose())

function f32(shape: number[], element?: (index: number) => number): Operand {
  const count = shape.reduce((a, b) => a * b, 1)
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1))
  const operand = {
    storage: { handle: backend.alloc(4 * count), bytes: 4 * count },
    byteOffset: 0,
    shape,
    strides,
    dtype: 'f32' as const,
  }
  if (element) write(operand, element)
  return operand
}

function write(operand: Operand, element: (index: number) => number): void {
  const data = Float32Array.from({ length: operand.storage.bytes / 4 }, (_, i) => element(i))
  backend.write(operand.storage, 0, new Uint8Array(data.buffer))
}

const wave = (i: number) => Math.sin(i * 0.7)

async function product(x: Operand, w: Operand): Promise<Uint8Array> {
  const y = f32([x.shape[0], w.shape[1]])
  backend.matmul(x, w, y)
  const result = await backend.read(y.storage, 0, y.storage.bytes)
  backend.free(y.storage.handle)
  return result
}

/** Bytes of packed weights and of the products' own scratch memory. */
const workspace = () => backend.memory().workspaceBytes ?? 0

describe('a weight in several products', () => {
  test('gives the same bits in each, stored either way', async () => {
    const x = f32([M, K], wave)
    const plain = f32([K, N], wave)
    const transposed = { ...f32([N, K], wave), shape: [K, N], strides: [1, K] }
    for (const w of [plain, transposed]) {
      const first = await product(x, w)
      for (let i = 0; i < 3; i++) expect(await product(x, w)).toEqual(first)
    }
  })

  test.each<[string, (w: Operand, other: Operand) => void]>([
    ['the host', w => write(w, i => wave(i + 9))],
    ['a fill', w => backend.fill(w, 0.25)],
    ['a copy', (w, other) => backend.copy(other, w)],
    ['an elementwise program', w => backend.elementwise(INCREMENT, [K, N], [w], [1], [w])],
    ['a product', (w, other) => backend.matmul(f32([K, K], wave), other, w)],
    ['an optimizer step', w => optimizerStep(w)],
  ])('is read anew after %s wrote it', async (_, change) => {
    const x = f32([M, K], wave)
    const w = f32([K, N], wave)
    const other = f32([K, N], i => wave(i + 100))
    const before = await product(x, w)
    for (let i = 0; i < 2; i++) await product(x, w)
    change(w, other)
    const after = await product(x, w)
    expect(after).not.toEqual(before)
    const copy = f32([K, N])
    backend.copy(w, copy)
    expect(after).toEqual(await product(x, copy))
    expect(await product(x, w)).toEqual(after)
    expect(await product(x, w)).toEqual(after)
  })

  test('is what it is when the product runs, not when it is queued', async () => {
    const x = f32([M, K], wave)
    const w = f32([K, N], wave)
    const results = [0, 1, 2, 3, 4, 5].map(i => {
      if (i === 3) backend.fill(w, 0.5)
      return product(x, w)
    })
    const bytes = await Promise.all(results)
    expect(bytes[1]).toEqual(bytes[0])
    expect(bytes[2]).toEqual(bytes[0])
    expect(bytes[3]).not.toEqual(bytes[0])
    expect(bytes[5]).toEqual(bytes[3])
  })
})

/** One step of AdamW on `parameter`. */
function optimizerStep(parameter: Operand): void {
  const state = () => f32([K, N], () => 0)
  const tensors = { parameter, gradient: f32([K, N], wave), firstMoment: state(), secondMoment: state() }
  const scalars = f32([8], () => 0.5)
  backend.adamw?.([{ ...tensors, decayScale: 1, lrScale: 1 }], scalars, 0, f32([2]))
}

describe('memory of packed weights', () => {
  async function packed(): Promise<{ w: Operand; base: number }> {
    const x = f32([M, K], wave)
    const w = f32([K, N], wave)
    await product(x, w)
    const base = workspace()
    const { liveBytes } = backend.memory()
    await product(x, w)
    expect(workspace() - base).toBeGreaterThanOrEqual(PACKED_BYTES)
    expect(workspace() - base).toBeLessThanOrEqual(PACKED_BYTES * 1.25)
    expect(backend.memory().liveBytes).toBe(liveBytes)
    return { w, base }
  }

  test('is taken at the second product, counted apart from tensors, and given back when the weight is freed', async () => {
    const { w, base } = await packed()
    backend.free(w.storage.handle)
    expect(workspace()).toBe(base)
  })

  test('is given back by a write and by trim', async () => {
    const first = await packed()
    backend.fill(first.w, 1)
    expect(workspace()).toBe(first.base)
    const second = await packed()
    backend.trim()
    expect(workspace()).toBe(second.base)
  })

  test('stays below an eighth of the limit', async () => {
    backend.dispose()
    backend = open(PACKED_BYTES * 8 * 4)
    const x = f32([M, K], wave)
    const weights = [1, 2, 3, 4, 5, 6].map(shift => f32([K, N], i => wave(i + shift)))
    const first = []
    for (const w of weights) first.push(await product(x, w))
    const base = workspace()
    for (let i = 0; i < 3; i++) {
      for (const [index, w] of weights.entries()) expect(await product(x, w)).toEqual(first[index])
    }
    expect(workspace() - base).toBeGreaterThanOrEqual(2 * PACKED_BYTES)
    expect(workspace() - base).toBeLessThanOrEqual(4 * PACKED_BYTES * 1.25)
  })

  test('makes way for tensors', async () => {
    backend.dispose()
    backend = open(16 * PACKED_BYTES)
    const { base } = await packed()
    const fill = () => {
      for (;;) backend.alloc(4096)
    }
    expect(fill).toThrow(/out of memory/)
    expect(workspace()).toBe(base)
  })
})
