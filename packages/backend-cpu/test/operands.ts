// Operands for tests against the reference backend: random layouts, placed on any backend.

import type { Backend, Operand } from '@ditkit/core'
import { CpuBackend } from '../src/backend'
import { loadAddon } from '../src/native'

/** A CPU backend on one instruction set. */
export function open(isa: string, threads = 2): Backend {
  return new CpuBackend(loadAddon(), { threads, isa, memoryLimit: 2 ** 32, description: '', attentionKernels: [] })
}

/** Mulberry32: the tests draw their cases from a seed. */
export class Draw {
  constructor(private state: number) {}
  number(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let t = this.state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  below(n: number): number {
    return Math.floor(this.number() * n)
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]
  }
}

export interface Layout {
  readonly shape: number[]
  readonly strides: number[]
  readonly offset: number
  readonly length: number
  readonly dtype: 'f32' | 'i32' | 'bool'
}

/** A layout that broadcasts to `shape`: axes of 1, gaps between rows, axes swapped in memory, an offset. */
export function drawLayout(draw: Draw, shape: readonly number[]): Layout {
  const own = shape
    .map(n => (draw.number() < 0.25 ? 1 : n))
    .slice(draw.number() < 0.2 ? draw.below(shape.length + 1) : 0)
  const order = own.map((_, axis) => axis)
  if (draw.number() < 0.3) order.sort(() => draw.number() - 0.5)
  const strides = own.map(() => 0)
  let length = 1
  for (const axis of order.reverse()) {
    strides[axis] = length
    length *= own[axis]
    if (draw.number() < 0.2) length += draw.below(3)
  }
  const offset = draw.below(4)
  const dtype = draw.pick(['f32', 'f32', 'f32', 'i32', 'bool'] as const)
  return { shape: own, strides, offset, length: length + offset, dtype }
}

/** `bytes` as a storage of `backend`, seen through `layout`. */
export function place(backend: Backend, layout: Layout, bytes: Uint8Array): Operand {
  const storage = { handle: backend.alloc(bytes.length), bytes: bytes.length }
  backend.write(storage, 0, bytes)
  const { shape, strides, dtype, offset } = layout
  return { storage, byteOffset: offset * (dtype === 'bool' ? 1 : 4), shape, strides, dtype }
}

export function hostData(draw: Draw, { length, dtype }: Layout): Uint8Array {
  if (dtype === 'bool') return Uint8Array.from({ length }, () => draw.below(2))
  if (dtype === 'i32') return new Uint8Array(Int32Array.from({ length }, () => draw.below(7) - 3).buffer)
  return new Uint8Array(Float32Array.from({ length }, () => draw.number() * 4 - 2).buffer)
}
