// Copies, reductions, matrix products and fused primitives on random layouts, against the reference backend.

import type { Activation, Backend, MatmulEpilogue, Operand, ReduceKind } from '@ditkit/core'
import { referenceBackend } from '@ditkit/core'
import { describe, expect, test } from 'vitest'
import { Draw, drawLayout, hostData, type Layout, open, place } from '../test/operands'
import { loadAddon } from './native'

const exact = referenceBackend()

/** The same operand on both backends. */
interface Pair {
  readonly cpu: Operand
  readonly exact: Operand
  readonly bytes: number
}

function pair(backend: Backend, layout: Layout, data: Uint8Array): Pair {
  return { cpu: place(backend, layout, data), exact: place(exact, layout, data), bytes: data.length }
}

function contiguous(shape: readonly number[], dtype: Layout['dtype'] = 'f32'): Layout {
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1))
  return { shape: [...shape], strides, offset: 0, length: shape.reduce((a, b) => a * b, 1), dtype }
}

/** A layout of exactly `shape`: axes swapped in memory, gaps, an offset. */
function strided(draw: Draw, shape: readonly number[], dtype: Layout['dtype'] = 'f32'): Layout {
  for (;;) {
    const layout = drawLayout(draw, shape)
    if (layout.shape.length === shape.length && layout.shape.every((n, axis) => n === shape[axis]))
      return { ...layout, dtype }
  }
}

function f32(draw: Draw, layout: Layout): Uint8Array {
  return hostData(draw, { ...layout, dtype: 'f32' })
}

/** Both results, gaps included, agree to `bound` relative to the largest value. */
async function expectSame(backend: Backend, results: readonly Pair[], bound: number, what: string): Promise<void> {
  for (const { cpu, exact: other, bytes } of results) {
    const [got, expected] = await Promise.all([
      backend.read(cpu.storage, 0, bytes),
      exact.read(other.storage, 0, bytes),
    ])
    if (cpu.dtype !== 'f32') {
      expect([...got], what).toEqual([...expected])
      continue
    }
    const [a, b] = [new Float32Array(got.buffer), new Float32Array(expected.buffer)]
    const scale = b.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 1e-30)
    for (let i = 0; i < b.length; i++) {
      const same = a[i] === b[i] || Math.abs(a[i] - b[i]) <= bound * scale
      if (!same) expect.fail(`${what}: element ${i} is ${a[i]}, expected ${b[i]}`)
    }
  }
}

describe.each(loadAddon().describe())('%s', isa => {
  const backend = open(isa)

  test('copies between any layouts and dtypes', async () => {
    for (let seed = 0; seed < 120; seed++) {
      const draw = new Draw(seed)
      const large = seed % 6 === 0
      const shape = Array.from({ length: draw.below(5) }, () => draw.pick(large ? [1, 7, 33, 40] : [1, 2, 3, 5, 9]))
      const [from, to] = [strided(draw, shape), strided(draw, shape)]
      const source = { ...from, dtype: draw.pick(['f32', 'i32', 'bool'] as const) }
      const target = { ...to, dtype: draw.pick(['f32', 'i32', 'bool'] as const) }
      const src = pair(backend, source, hostData(draw, source))
      const dst = pair(backend, target, new Uint8Array(target.length * (target.dtype === 'bool' ? 1 : 4)))
      backend.copy(src.cpu, dst.cpu)
      exact.copy(src.exact, dst.exact)
      await expectSame(backend, [dst], 0, `copy ${seed} of [${shape}] ${source.dtype} to ${target.dtype}`)
    }
  })

  test('reductions over any axes', async () => {
    for (let seed = 0; seed < 120; seed++) {
      const draw = new Draw(seed)
      const shape = Array.from({ length: 1 + draw.below(4) }, () => draw.pick([1, 2, 5, 17, 40]))
      if (seed % 15 === 0) shape[draw.below(shape.length)] = 0
      if (seed % 15 === 1) shape.splice(0, shape.length, 3, 70_000)
      if (seed % 15 === 2) shape.splice(0, shape.length, 700, 130)
      const reduced = shape.map(n => (draw.number() < 0.5 ? 1 : n))
      const kind = draw.pick(['sum', 'max', 'min'] as ReduceKind[])
      const accumulate = draw.number() < 0.3
      const layout = shape.includes(0) ? contiguous(shape) : strided(draw, shape)
      const src = pair(backend, layout, f32(draw, layout))
      const dst = pair(backend, contiguous(reduced), f32(draw, contiguous(reduced)))
      backend.reduce(kind, src.cpu, dst.cpu, accumulate)
      exact.reduce(kind, src.exact, dst.exact, accumulate)
      await expectSame(backend, [dst], 1e-6, `${kind} ${seed} of [${shape}] to [${reduced}]`)
    }
  })

  test('matrix products with strides, batches and every part of the epilogue', async () => {
    for (let seed = 0; seed < 120; seed++) {
      const draw = new Draw(seed)
      const size = () => draw.pick([1, 2, 5, 16, 33])
      const [m, k, n] = [size(), seed % 12 === 0 ? 0 : size(), size()]
      const batch = Array.from({ length: draw.below(4) }, () => draw.pick([1, 2, 3]))
      const out = [...batch, m, n]
      const some = (list: number[]) => (draw.number() < 0.3 ? [] : list.map(x => (draw.number() < 0.2 ? 1 : x)))
      const operand = (shape: number[]) => {
        const layout = shape.includes(0) ? contiguous(shape) : strided(draw, shape)
        return pair(backend, layout, f32(draw, layout))
      }
      const maybe = (chance: number, make: () => Pair) => (draw.number() < chance ? make() : undefined)
      const [a, b] = [operand([...some(batch), m, k]), operand([...some(batch), k, n])]
      const parts = {
        bias: maybe(0.5, () => operand([n])),
        preActivation: maybe(0.3, () => pair(backend, contiguous(out), f32(draw, contiguous(out)))),
        slope: maybe(0.3, () => pair(backend, contiguous(out), f32(draw, contiguous(out)))),
        gate: maybe(0.4, () =>
          operand(draw.pick([[n], [1, n], [...batch, 1, n], [...batch, m, n], [...batch.map(() => 1), 1, n]])),
        ),
        residual: maybe(0.4, () => operand(out)),
      }
      const rest = {
        activation: draw.pick(['none', 'gelu', 'silu', 'relu'] as Activation[]),
        alpha: draw.pick([1, 0.5, -2]),
        accumulate: draw.number() < 0.2,
        computeDtype: draw.pick(['f32', 'bf16'] as const),
      }
      const of = (side: 'cpu' | 'exact'): MatmulEpilogue => ({
        ...rest,
        ...Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, part?.[side]])),
      })
      const result = pair(backend, contiguous(out), f32(draw, contiguous(out)))
      backend.matmul(a.cpu, b.cpu, result.cpu, of('cpu'))
      exact.matmul(a.exact, b.exact, result.exact, of('exact'))
      const results = [result, parts.preActivation, parts.slope].filter(part => part !== undefined)
      const what = `matmul ${seed} [${a.cpu.shape}]·[${b.cpu.shape}] ${Object.keys(parts).filter(p => parts[p as 'bias'])} ${JSON.stringify(rest)}`
      await expectSame(backend, results, 4e-6, what)
    }
  })

  test('a compute dtype that no kernel has is refused, never ignored', () => {
    const x = pair(backend, contiguous([2, 2]), new Uint8Array(16)).cpu
    expect(() => backend.matmul(x, x, x, { computeDtype: 'f16' })).toThrow(/^matmul: compute/)
    expect(Object.keys(backend.computeDtypes ?? {})).toEqual(['bf16'])
  })

  test('argmax takes the first maximum, and a NaN before all', async () => {
    const layout = contiguous([4, 5])
    const data = Float32Array.of(
      1,
      3,
      3,
      2,
      0,
      -1,
      -1,
      -1,
      -1,
      -1,
      0,
      Number.NaN,
      9,
      Number.NaN,
      1,
      -5,
      -4,
      -3,
      -2,
      Infinity,
    )
    const src = pair(backend, layout, new Uint8Array(data.buffer))
    const dst = pair(backend, contiguous([4, 1], 'i32'), new Uint8Array(16))
    backend.argmax(src.cpu, dst.cpu)
    exact.argmax(src.exact, dst.exact)
    await expectSame(backend, [dst], 0, 'argmax')
    expect([...new Int32Array((await backend.read(dst.cpu.storage, 0, 16)).buffer)]).toEqual([1, 0, 1, 4])
  })

  test('random bits and uniforms are identical to the reference, normals to a few roundings', async () => {
    const key = pair(backend, contiguous([2], 'i32'), new Uint8Array(Int32Array.of(-123456, 77).buffer))
    for (const count of [1, 3, 4, 129, 70_003]) {
      for (const kind of ['bits', 'uniform', 'normal'] as const) {
        const dtype = kind === 'bits' ? 'i32' : 'f32'
        const dst = pair(backend, contiguous([count], dtype), new Uint8Array(4 * count))
        backend.random(dst.cpu, key.cpu, kind)
        exact.random(dst.exact, key.exact, kind)
        await expectSame(backend, [dst], kind === 'normal' ? 1e-7 : 0, `${kind} ${count}`)
      }
    }
  })
})
