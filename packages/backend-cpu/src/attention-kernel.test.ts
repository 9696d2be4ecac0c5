import {
  type AttentionOptions,
  attention,
  backward,
  type Device,
  explainAttention,
  packedAttention,
  packedCrossAttention,
  reference,
  rngKey,
  scopeAsync,
  type Tensor,
} from '@ditkit/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CpuBackend } from './backend'
import { cpu } from './cpu'
import { OPCODE } from './opcodes'

let device: Device
let exact: Device
beforeAll(async () => {
  device = await cpu({ threads: 2 })
  exact = await reference({ dtype: 'f64' })
})
afterAll(() => {
  device.dispose()
  exact.dispose()
})

/** Numbers in [-1, 1) that depend on the seed alone. */
function numbers(count: number, seed: number): Float32Array {
  let state = (seed * 2654435761) >>> 0
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  })
}

interface Sizes {
  batch: number
  queries: number
  keys: number
  heads: number
  dim: number
  valueDim: number
}

type Operands = Record<string, Tensor>
type MakeOptions = (d: Device, s: Sizes) => { options: AttentionOptions; learned?: Operands }

const size = (shape: number[]) => shape.reduce((a, b) => a * b, 1)
const float = (d: Device, shape: number[], seed: number, scale = 1) =>
  d.tensor(
    numbers(size(shape), seed).map(x => x * scale),
    shape,
    { requiresGrad: true },
  )
const bool = (d: Device, shape: number[], seed: number, keep = 0.75) =>
  d.tensor(
    Uint8Array.from(numbers(size(shape), seed), x => Number(x < 2 * keep - 1)),
    shape,
    { dtype: 'bool' },
  )
const ints = (d: Device, values: number[]) => d.tensor(Int32Array.from(values), [values.length], { dtype: 'i32' })

/** The output and all gradients of a call, in float64. */
async function run(d: Device, s: Sizes, make: MakeOptions, kernel?: string): Promise<Record<string, number[]>> {
  return scopeAsync(async scope => {
    const tensors = scope.run(() => {
      const q = float(d, [s.batch, s.queries, s.heads, s.dim], 1, 2)
      const k = float(d, [s.batch, s.keys, s.heads, s.dim], 2, 2)
      const v = float(d, [s.batch, s.keys, s.heads, s.valueDim], 3)
      const { options, learned = {} } = make(d, s)
      const out = attention(q, k, v, { ...options, kernel })
      backward(out, d.tensor(numbers(out.size, 4), out.shape as number[]))
      const gradients = Object.entries({ q, k, v, ...learned }).map(([name, t]) => [`d ${name}`, t.grad as Tensor])
      return { out, ...(Object.fromEntries(gradients) as Operands) }
    })
    const entries = Object.entries(tensors).map(
      async ([name, t]) => [name, Array.from(await t.data(), Number)] as const,
    )
    return Object.fromEntries(await Promise.all(entries))
  })
}

const SIZES: Sizes = { batch: 2, queries: 37, keys: 45, heads: 3, dim: 24, valueDim: 20 }

function biasTensor(d: Device, { batch, heads, queries, keys }: Sizes, axes: boolean[]): Tensor {
  const shape = [batch, heads, queries, keys].map((n, i) => (axes[i] ? n : 1))
  return float(d, shape, 5)
}

const bias =
  (axes: boolean[]): MakeOptions =>
  (d, s) => {
    const tensor = biasTensor(d, s, axes)
    return { options: { bias: tensor }, learned: { bias: tensor } }
  }

const CASES: Record<string, [Partial<Sizes>, MakeOptions]> = {
  'no option': [{}, () => ({ options: {} })],
  'one query and many keys': [{ queries: 1, keys: 1200, heads: 1 }, () => ({ options: {} })],
  'a scale': [{}, () => ({ options: { scale: 0.5 } })],
  keyMask: [{}, (d, s) => ({ options: { keyMask: bool(d, [s.batch, s.keys], 6) } })],
  queryMask: [{}, (d, s) => ({ options: { queryMask: bool(d, [s.batch, s.queries], 7) } })],
  lengths: [{}, d => ({ options: { keyLengths: ints(d, [0, 30]), queryLengths: ints(d, [37, 5]) } })],
  mask: [{}, (d, s) => ({ options: { mask: bool(d, [s.batch, s.queries, s.keys], 8, 0.5) } })],
  'a bias for all': [{}, bias([true, true, true, true])],
  'a bias shared by samples': [{}, bias([false, true, true, true])],
  'a bias shared by heads': [{}, bias([true, false, true, true])],
  'a bias shared by all': [{}, bias([false, false, true, true])],
  'a bias per key': [{}, bias([true, true, false, true])],
  'a bias per query': [{}, bias([false, true, true, false])],
  'a bias of one number': [{}, bias([false, false, false, false])],
  'factors per head': [
    {},
    (d, s) => {
      const query = float(d, [s.batch, s.queries, s.heads, 5], 9)
      const key = float(d, [s.batch, s.keys, s.heads, 5], 10)
      return { options: { factoredBias: { query, key } }, learned: { query, key } }
    },
  ],
  'shared factors': [
    {},
    (d, s) => {
      const query = float(d, [1, s.queries, 1, 5], 9)
      const key = float(d, [s.batch, s.keys, 1, 5], 10)
      return { options: { factoredBias: { query, key } }, learned: { query, key } }
    },
  ],
  'causal, top left': [{}, () => ({ options: { causal: 'top-left' } })],
  'causal, bottom right': [{}, () => ({ options: { causal: 'bottom-right' } })],
  dropout: [{ keys: 300 }, () => ({ options: { dropout: 0.3, rng: rngKey(123456789012345n) } })],
  'a packed batch': [
    { batch: 1 },
    d => ({
      options: {
        offsets: { query: ints(d, [0, 10, 10, 31]), key: ints(d, [0, 0, 20, 45]) },
        causal: 'bottom-right',
        keyLengths: ints(d, [0, 17, 25]),
        dropout: 0.1,
        rng: rngKey(7),
      },
    }),
  ],
  'everything at once': [
    {},
    (d, s) => {
      const query = float(d, [s.batch, s.queries, 1, 3], 9)
      const key = float(d, [1, s.keys, s.heads, 3], 10)
      const learned = { bias: biasTensor(d, s, [true, false, true, true]), query, key }
      return {
        options: {
          keyMask: bool(d, [s.batch, s.keys], 6),
          queryMask: bool(d, [s.batch, s.queries], 7),
          keyLengths: ints(d, [40, 45]),
          queryLengths: ints(d, [37, 30]),
          mask: bool(d, [1, s.heads, s.queries, s.keys], 8),
          bias: learned.bias,
          factoredBias: { query, key },
          causal: 'bottom-right',
          dropout: 0.2,
          rng: rngKey(11),
        },
        learned,
      }
    },
  ],
}

describe('cpu-flash', () => {
  it('is what cpu() takes for every option', () => {
    for (const [, [sizes, make]] of Object.entries(CASES)) {
      const s = { ...SIZES, ...sizes }
      const q = float(device, [s.batch, s.queries, s.heads, s.dim], 1)
      const k = float(device, [s.batch, s.keys, s.heads, s.dim], 2)
      const v = float(device, [s.batch, s.keys, s.heads, s.valueDim], 3)
      expect(explainAttention(q, k, v, make(device, s).options).choice).toBe('cpu-flash')
    }
  })

  it.each(Object.entries(CASES))('agrees with float64, forward and all gradients: %s', async (_, [sizes, make]) => {
    const s = { ...SIZES, ...sizes }
    const got = await run(device, s, make, 'cpu-flash')
    const expected = await run(exact, s, make, 'standard')
    for (const name of Object.keys(expected)) {
      const largest = expected[name].reduce((a, b) => Math.max(a, Math.abs(b)), 0.5)
      expect(got[name]).toHaveLength(expected[name].length)
      const worst = expected[name].reduce((a, x, i) => Math.max(a, Math.abs(x - got[name][i])), 0)
      expect(worst / largest, name).toBeLessThan(2e-5)
    }
  })

  const BF16: Record<string, [number, number, MakeOptions]> = {
    'one query': [1, 587, () => ({ options: {} })],
    'few tokens': [7, 59, bias([true, true, true, true])],
    'no option': [147, 147, () => ({ options: {} })],
    'many queries': [587, 64, () => ({ options: {} })],
    'a bias per key': [147, 256, bias([true, true, false, true])],
    'a bias shared by heads': [64, 147, bias([true, false, true, true])],
    'samples and queries without keys': [
      147,
      131,
      (d, s) => ({
        options: {
          keyLengths: ints(d, [0, 120]),
          mask: bool(d, [1, 1, s.queries, 1], 8),
          keyMask: bool(d, [s.batch, s.keys], 6),
        },
      }),
    ],
    dropout: [147, 300, () => ({ options: { dropout: 0.3, rng: rngKey(5), causal: 'bottom-right' } })],
    'factors, which keep it f32': [64, 147, CASES['shared factors'][1]],
  }
  it.each(Object.entries(BF16))(
    'agrees in bf16 with float64 as far as operands are rounded, forward and all gradients: %s',
    async (_, [queries, keys, make]) => {
      const s = { ...SIZES, heads: 2, queries, keys, dim: 32, valueDim: 32 }
      const inBf16: MakeOptions = (d, sizes) => {
        const { options, learned } = make(d, sizes)
        return { options: { ...options, computeDtype: 'bf16' }, learned }
      }
      const got = await run(device, s, inBf16, 'cpu-flash')
      const expected = await run(exact, s, make, 'chunked')
      for (const name of Object.keys(expected)) {
        const norm = (values: number[]) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0))
        const distance = norm(expected[name].map((x, i) => x - got[name][i]))
        expect(distance / norm(expected[name]), name).toBeLessThan(2 ** -7)
        // Rows that attend to nothing.
        if (name === 'out') expect(got.out.map(x => x === 0)).toEqual(expected.out.map(x => x === 0))
      }
    },
  )

  it('has in bf16 what is masked without influence, whatever it holds', async () => {
    const [n, valid] = [147, 100]
    const filled = async (padding: number) => {
      const make = (seed: number) => numbers(n * 2 * 32, seed).map((x, i) => (i < valid * 2 * 32 ? x : padding))
      return scopeAsync(async scope => {
        const results = scope.run(() => {
          const [q, k, v] = [1, 2, 3].map(seed => device.tensor(make(seed), [1, n, 2, 32], { requiresGrad: true }))
          const lengths = ints(device, [valid])
          const out = attention(q, k, v, { keyLengths: lengths, queryLengths: lengths, computeDtype: 'bf16' })
          backward(out, device.tensor(make(4), [1, n, 2, 32]))
          return [out, q.grad!, k.grad!, v.grad!]
        })
        return Promise.all(results.map(t => t.data()))
      })
    }
    const zeros = await filled(0)
    expect(await filled(Number.NaN)).toEqual(zeros)
    expect(await filled(Number.POSITIVE_INFINITY)).toEqual(zeros)
    expect(zeros.flatMap(x => [...x]).every(Number.isFinite)).toBe(true)
  })

  it('works on packed projections in place', async () => {
    const [n, h, d] = [21, 2, 16]
    const check = async (on: Device) => {
      const qkv = float(on, [2, n, 3, h, d], 1)
      const q = float(on, [2, 5, h, d], 2)
      const kv = float(on, [2, n, 2, h, d], 3)
      const out = packedAttention(qkv)
      const cross = packedCrossAttention(q, kv)
      backward(out, on.tensor(numbers(out.size, 4), out.shape as number[]))
      backward(cross, on.tensor(numbers(cross.size, 5), cross.shape as number[]))
      const all = [out, cross, qkv.grad, q.grad, kv.grad] as Tensor[]
      return (await Promise.all(all.map(t => t.data()))).flatMap(data => Array.from(data, Number))
    }
    const got = await check(device)
    const expected = await check(exact)
    expect(Math.max(...expected.map((x, i) => Math.abs(x - got[i])))).toBeLessThan(1e-5)
  })

  it('gives the same bits with one thread as with four', async () => {
    const [one, four] = [await cpu({ threads: 1 }), await cpu({ threads: 4 })]
    for (const name of ['everything at once', 'a bias shared by all', 'one query and many keys']) {
      const [sizes, make] = CASES[name]
      expect(await run(one, { ...SIZES, ...sizes }, make)).toEqual(await run(four, { ...SIZES, ...sizes }, make))
    }
    const [large, make] = [
      { ...SIZES, queries: 147, keys: 587, dim: 64 },
      () => ({ options: { computeDtype: 'bf16' as const } }),
    ]
    expect(await run(one, large, make)).toEqual(await run(four, large, make))
    one.dispose()
    four.dispose()
  })

  it('refuses a call whose numbers were tampered with, or computes something, but never reaches outside its memory', async () => {
    const victim = await cpu({ threads: 1, memoryLimit: 1 << 26 })
    const { commands } = victim.backend as CpuBackend
    const q = float(victim, [1, 6, 2, 4], 1)
    const stats = victim.zeros([1, 2, 6, 2])
    const maskTensor = bool(victim, [1, 1, 6, 6], 2)
    const offsets = ints(victim, [0, 3, 6])
    const factor = float(victim, [1, 6, 1, 2], 3)
    const write = (opcode: number) => {
      commands.begin(opcode).operand(q).operand(q).operand(q).number(1).number(1).number(9).number(1)
      commands.optional(undefined).optional(undefined).optional(undefined).optional(undefined)
      commands.optional(offsets).optional(offsets).optional(maskTensor).optional(undefined)
      commands
        .optional(factor)
        .optional(factor)
        .optional(ints(victim, [1, 2]))
        .operand(q)
        .optional(stats)
      if (opcode === OPCODE.attentionForward) return
      commands.operand(q).optional(q).optional(q).optional(q).optional(undefined).optional(factor).optional(factor)
    }
    const { native } = commands as unknown as { native: { commands: Float64Array; submit(count: number): void } }
    const values = [-1, 0, 1, 2, 3, 5, 7, 64, 1e3, 1e9, 2 ** 40, 2 ** 48, Number.NaN, Number.POSITIVE_INFINITY, 0.5]
    let refused = 0
    let ran = 0
    for (const opcode of [OPCODE.attentionForward, OPCODE.attentionBackward]) {
      write(opcode)
      const length = (commands as unknown as { at: number }).at
      const whole = native.commands.slice(0, length)
      for (let at = 1; at < length; at++) {
        for (const value of values) {
          native.commands.set(whole)
          native.commands[at] = value
          try {
            native.submit(length)
            ran++
          } catch (error) {
            expect((error as Error).message).toMatch(/^attention/)
            refused++
          }
        }
      }
      for (let cut = 1; cut < length; cut++) {
        native.commands.set(whole)
        expect(() => native.submit(cut)).toThrow(/attention/)
      }
      native.commands.set(whole)
      native.submit(length)
    }
    await victim.sync()
    expect(refused).toBeGreaterThan(1000)
    expect(ran).toBeGreaterThan(100)
    victim.dispose()
  })
})
