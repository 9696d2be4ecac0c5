// Random elementwise programs over random shapes, strides and dtypes, against the reference backend; and bit-identical results for
// any number of threads.

import {
  type Backend,
  createDevice,
  type Device,
  hostNormal,
  layerNorm,
  linear,
  matmul,
  mean,
  normal,
  OPCODES,
  type Operand,
  type Program,
  permute,
  program,
  referenceBackend,
  rngKey,
  scope,
  softmax,
  sum,
  type Tensor,
  type Value,
} from '@ditkit/core'
import { describe, expect, test } from 'vitest'
import { Draw, drawLayout, hostData, type Layout, open, place } from '../test/operands'
import { loadAddon } from './native'

const ISAS = loadAddon().describe()

/** Codes whose result does not jump where the argument moves by one rounding. */
const SMOOTH = [
  'neg',
  'abs',
  'tanh',
  'sigmoid',
  'sin',
  'cos',
  'gelu',
  'geluGrad',
  'rowSum',
  'rowMax',
  'add',
  'sub',
  'mul',
  'min',
  'max',
  'fma',
  'select',
] as const

const BINARY: ReadonlySet<string> = new Set(['add', 'sub', 'mul', 'min', 'max'])

function drawProgram(draw: Draw, inputs: number): Program {
  const scalars = draw.below(3)
  return program('random', inputs, scalars, (b, ...values) => {
    const all: Value[] = [...values]
    const count = 1 + draw.below(10)
    for (let i = 0; i < count; i++) {
      const code = draw.pick(SMOOTH)
      // Averages rather than sums, so that values stay where functions are well conditioned.
      const results = {
        rowSum: (x: Value) => b.tanh(b.rowSum(x)),
        mul: (x: Value, y: Value) => b.mul(b.sin(x), y),
        fma: (x: Value, y: Value, z: Value) => b.fma(b.sin(x), y, z),
        add: (x: Value, y: Value) => b.add(b.tanh(x), b.tanh(y)),
        sub: (x: Value, y: Value) => b.sub(b.tanh(x), b.tanh(y)),
        // The condition is a comparison of operands, not of rounded results.
        select: (_: Value, y: Value, z: Value) => b.select(b.lt(values[0], values[values.length - 1]), y, z),
      } as Record<string, (...args: Value[]) => Value>
      const f = results[code] ?? (b[code] as (...args: Value[]) => Value)
      const args = [draw.pick(all), draw.pick(all), draw.pick(all)]
      all.push(f(...args.slice(0, code === 'fma' || code === 'select' ? 3 : BINARY.has(code) ? 2 : 1)))
      if (i < count - 1 && all.length > 20) break
    }
    return [all[all.length - 1], ...(draw.number() < 0.4 ? [draw.pick(all)] : [])]
  })
}

async function outputsOf(
  backend: Backend,
  p: Program,
  shape: number[],
  layouts: Layout[],
  data: Uint8Array[],
  scalars: number[],
) {
  const inputs = layouts.map((layout, i) => place(backend, layout, data[i]))
  const count = shape.reduce((a, b) => a * b, 1)
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1))
  const outputs = p.outputs.map((): Operand => {
    return {
      storage: { handle: backend.alloc(4 * count), bytes: 4 * count },
      byteOffset: 0,
      shape,
      strides,
      dtype: 'f32',
    }
  })
  backend.elementwise(p, shape, inputs, scalars, outputs)
  const results = await Promise.all(outputs.map(out => backend.read(out.storage, 0, 4 * count)))
  for (const { storage } of [...inputs, ...outputs]) backend.free(storage.handle)
  return results.map(bytes => new Float32Array(bytes.buffer))
}

describe.each(ISAS)('%s', isa => {
  test('random programs agree with the reference backend', async () => {
    const exact = referenceBackend()
    const backend = open(isa)
    for (let seed = 0; seed < 150; seed++) {
      const draw = new Draw(seed)
      const rank = draw.below(5)
      const sizes = seed % 3 === 0 ? [1, 2, 192, 300, 2500] : [1, 2, 3, 5, 16, 33]
      const shape = Array.from({ length: rank }, (_, axis) => (axis < rank - 2 ? 1 + draw.below(3) : draw.pick(sizes)))
      const inputs = 1 + draw.below(4)
      const layouts = Array.from({ length: inputs }, () => drawLayout(draw, shape))
      const p = drawProgram(draw, inputs)
      const data = layouts.map(layout => hostData(draw, layout))
      const scalars = Array.from({ length: p.scalars }, () => draw.number())
      const expected = await outputsOf(exact, p, shape, layouts, data, scalars)
      const got = await outputsOf(backend, p, shape, layouts, data, scalars)
      for (const [o, values] of expected.entries()) {
        for (let i = 0; i < values.length; i++) {
          const bound = 2e-5 * (1 + Math.abs(values[i]))
          if (!(Math.abs(values[i] - got[o][i]) <= bound)) {
            expect.fail(`seed ${seed}, output ${o}[${i}] of ${shape}: ${got[o][i]}, expected ${values[i]}; ${p.key}`)
          }
        }
      }
    }
    backend.dispose()
  })

  test('results are bit-identical for 1, 2 and 3 threads', async () => {
    const hashes = await Promise.all(
      [1, 2, 3].map(async threads => {
        const device = createDevice(open(isa, threads))
        const results = await Promise.all(scope(() => everything(device)).map(t => t.data()))
        device.dispose()
        return results.map(result => Buffer.from(result.buffer).toString('base64'))
      }),
    )
    expect(hashes[1]).toEqual(hashes[0])
    expect(hashes[2]).toEqual(hashes[0])
  })
})

/** Results of every kind of kernel that splits its work. */
function everything(device: Device): Tensor[] {
  const x = device.tensor(Float32Array.from(hostNormal(rngKey(1), 300 * 517)), [300, 517])
  const w = device.tensor(Float32Array.from(hostNormal(rngKey(2), 64 * 517)), [64, 517])
  const y = linear(x, w, undefined, { activation: 'gelu' })
  return [
    ...[y, sum(x), sum(x, 0), sum(x, 1), mean(x), softmax(x), layerNorm(x)],
    ...[matmul(permute(x, [1, 0]), y), normal(device, [70_001], rngKey(3))],
  ]
}

test('every operation of a program has its number', () => {
  // Native code numbers them by position; a new one in core must be added to native/elementwise/program.h.
  expect(OPCODES.length).toBe(35)
})

test('an output may be the memory of an input of the same layout', async () => {
  const backend = open(ISAS[ISAS.length - 1])
  const length = 70_000
  const layout: Layout = { shape: [length], strides: [1], offset: 0, length, dtype: 'f32' }
  const x = place(backend, layout, new Uint8Array(Float32Array.from({ length }, (_, i) => i).buffer))
  const y = place(backend, layout, new Uint8Array(Float32Array.from({ length }, (_, i) => 2 * i).buffer))
  // The first output is written before the second reads what it overwrites.
  const swap = program('swap and sum', 2, 0, (b, p, q) => [b.add(q, q), b.sub(p, q)])
  backend.elementwise(swap, [length], [x, y], [], [x, y])
  const [first, second] = await Promise.all([x, y].map(t => backend.read(t.storage, 0, 4 * length)))
  expect(new Float32Array(first.buffer)[60_000]).toBe(240_000)
  expect(new Float32Array(second.buffer)[60_000]).toBe(-60_000)
  backend.dispose()
})

test('a program with wrong counts, and an output that is not contiguous, are refused', () => {
  const backend = open('baseline')
  const layout: Layout = { shape: [4, 4], strides: [1, 4], offset: 0, length: 16, dtype: 'f32' }
  const x = place(backend, layout, new Uint8Array(64))
  const p = program('add', 2, 0, (b, u, v) => b.add(u, v))
  expect(() => backend.elementwise(p, [4, 4], [x, x], [], [x])).toThrow(/outputs must be contiguous/)
  expect(() => backend.elementwise(p, [4, 4], [x], [], [x])).toThrow(/elementwise/)
  backend.dispose()
})

test('rows of length 0 have a sum of 0 and a maximum of −∞', async () => {
  const backend = open(ISAS[ISAS.length - 1])
  const place0 = (shape: number[], strides: number[]) =>
    place(
      backend,
      { shape, strides, offset: 0, length: 3, dtype: 'f32' },
      new Uint8Array(Float32Array.of(1, 2, 3).buffer),
    )
  const x = place0([3, 0], [0, 1])
  const column = place0([3, 1], [1, 1])
  const [whole, sums, maxima] = [place0([3, 0], [0, 1]), place0([3, 1], [1, 1]), place0([3, 1], [1, 1])]
  const p = program('rows', 2, 0, (b, v, c) => [b.mul(v, c), b.add(b.rowSum(v), c), b.rowMax(v)])
  backend.elementwise(p, [3, 0], [x, column], [], [whole, sums, maxima])
  const [first, second] = await Promise.all([sums, maxima].map(t => backend.read(t.storage, 0, 12)))
  expect([...new Float32Array(first.buffer)]).toEqual([1, 2, 3])
  expect([...new Float32Array(second.buffer)]).toEqual([-Infinity, -Infinity, -Infinity])
  backend.dispose()
})
