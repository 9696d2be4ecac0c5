// Elementary functions of the elementwise interpreter against float64, on every instruction set this machine has.

import { type Operand, type ProgramBuilder, program, type Value } from '@ditkit/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CpuBackend } from './backend'
import { loadAddon } from './native'

/** 1 / (1 + exp(−2u)) avoids the cancellation of 1 + tanh(u). */
const geluStable = (x: number) => x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
function geluGradient(x: number): number {
  const s = 1 / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
  return s + x * s * (1 - s) * 2 * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x)
}
function roundHalfToEven(x: number): number {
  const floor = Math.floor(x)
  const rest = x - floor
  return rest < 0.5 ? floor : rest > 0.5 ? floor + 1 : floor % 2 === 0 ? floor : floor + 1
}

interface Case {
  readonly exact: (x: number) => number
  readonly range: readonly [number, number]
  /** Largest error relative to the result, and near zeros of the function absolute. */
  readonly relative: number
  readonly absolute?: number
  /** [argument, result] */
  readonly special?: readonly (readonly [number, number])[]
}

const { NaN: nan, POSITIVE_INFINITY: inf } = Number
const CASES: Record<string, Case> = {
  exp: {
    exact: Math.exp,
    range: [-87, 88],
    relative: 2e-7,
    special: [
      [-inf, 0],
      [inf, inf],
      [nan, nan],
      [0, 1],
      [100, inf],
      [-120, 0],
    ],
  },
  log: {
    exact: Math.log,
    range: [1e-6, 1e6],
    relative: 2e-7,
    special: [
      [0, -inf],
      [-1, nan],
      [inf, inf],
      [nan, nan],
      [1, 0],
      [1e-40, Math.log(Math.fround(1e-40))],
    ],
  },
  tanh: {
    exact: Math.tanh,
    range: [-12, 12],
    relative: 3e-7,
    special: [
      [inf, 1],
      [-inf, -1],
      [nan, nan],
      [0, 0],
      [1e-20, 1e-20],
    ],
  },
  sigmoid: {
    exact: x => 1 / (1 + Math.exp(-x)),
    range: [-80, 30],
    relative: 3e-7,
    special: [
      [inf, 1],
      [-inf, 0],
      [nan, nan],
    ],
  },
  sin: {
    exact: Math.sin,
    range: [-20000, 20000],
    relative: 3e-7,
    absolute: 1e-9,
    special: [
      [inf, nan],
      [nan, nan],
      [0, 0],
      [3e6, Math.sin(3e6)],
    ],
  },
  cos: {
    exact: Math.cos,
    range: [-20000, 20000],
    relative: 3e-7,
    absolute: 1e-9,
    special: [
      [inf, nan],
      [0, 1],
      [3e6, Math.cos(3e6)],
    ],
  },
  gelu: {
    exact: geluStable,
    range: [-6, 12],
    relative: 8e-7,
    // In the far tail the argument of exp, rounded to f32, limits what is left of the digits.
    absolute: 1e-9,
    special: [
      [inf, inf],
      [nan, nan],
      [0, 0],
      [100, 100],
      [-100, 0],
    ],
  },
  geluGrad: {
    exact: geluGradient,
    range: [-5, 12],
    relative: 2e-6,
    absolute: 1e-7,
    special: [
      [inf, 1],
      [-inf, 0],
      [1e20, 1],
      [nan, nan],
    ],
  },
  sqrt: {
    exact: Math.sqrt,
    range: [0, 1e6],
    relative: 6e-8,
    special: [
      [-1, nan],
      [inf, inf],
    ],
  },
  rsqrt: {
    exact: x => 1 / Math.sqrt(x),
    range: [1e-6, 1e6],
    relative: 2e-7,
    special: [
      [0, inf],
      [inf, 0],
    ],
  },
  reciprocal: {
    exact: x => 1 / x,
    range: [-1e6, 1e6],
    relative: 6e-8,
    special: [
      [0, inf],
      [inf, 0],
    ],
  },
  neg: { exact: x => -x, range: [-9, 9], relative: 0 },
  abs: {
    exact: Math.abs,
    range: [-9, 9],
    relative: 0,
    special: [
      [-inf, inf],
      [nan, nan],
    ],
  },
  floor: {
    exact: Math.floor,
    range: [-9, 9],
    relative: 0,
    special: [
      [-0.5, -1],
      [1e10, 1e10],
      [nan, nan],
    ],
  },
  round: {
    exact: roundHalfToEven,
    range: [-9, 9],
    relative: 0,
    special: [
      [0.5, 0],
      [1.5, 2],
      [2.5, 2],
      [-0.5, 0],
      [-1.5, -2],
      [nan, nan],
    ],
  },
  sign: {
    exact: Math.sign,
    range: [-9, 9],
    relative: 0,
    special: [
      [0, 0],
      [inf, 1],
      [nan, nan],
    ],
  },
  isFinite: {
    exact: x => (Number.isFinite(x) ? 1 : 0),
    range: [-9, 9],
    relative: 0,
    special: [
      [inf, 0],
      [-inf, 0],
      [nan, 0],
    ],
  },
  not: {
    exact: x => (x === 0 ? 1 : 0),
    range: [-9, 9],
    relative: 0,
    special: [
      [0, 1],
      [nan, 0],
    ],
  },
}

describe.each(loadAddon().describe())('%s', isa => {
  let backend: CpuBackend
  beforeAll(() => {
    backend = new CpuBackend(loadAddon(), {
      threads: 2,
      isa,
      memoryLimit: 2 ** 30,
      description: '',
      attentionKernels: [],
    })
  })
  afterAll(() => backend.dispose())

  function operand(length: number): Operand {
    return {
      storage: { handle: backend.alloc(4 * length), bytes: 4 * length },
      byteOffset: 0,
      shape: [length],
      strides: [1],
      dtype: 'f32',
    }
  }

  async function apply(
    body: (b: ProgramBuilder, ...values: Value[]) => Value,
    ...inputs: Float32Array[]
  ): Promise<Float32Array> {
    const operands = inputs.map(data => {
      const x = operand(data.length)
      backend.write(x.storage, 0, new Uint8Array(data.buffer))
      return x
    })
    const out = operand(inputs[0].length)
    backend.elementwise(program('test', inputs.length, 0, body), out.shape, operands, [], [out])
    const result = new Float32Array((await backend.read(out.storage, 0, out.storage.bytes)).buffer)
    for (const x of [...operands, out]) backend.free(x.storage.handle)
    return result
  }

  test.each(Object.entries(CASES))('%s', async (code, { exact, range, relative, absolute = 0, special = [] }) => {
    // An odd count, so that the last vector is not full.
    const count = 20_001
    const [low, high] = range
    const x = Float32Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1))
    const y = await apply((b, v) => b[code as 'exp'](v), x)
    for (let i = 0; i < count; i++) {
      const expected = exact(x[i])
      const error = Math.abs(y[i] - expected)
      if (!(error <= Math.abs(expected) * relative + absolute || y[i] === expected)) {
        expect.fail(`${code}(${x[i]}) is ${y[i]}, expected ${expected} (relative error ${error / Math.abs(expected)})`)
      }
    }
    const results = await apply(
      (b, v) => b[code as 'exp'](v),
      Float32Array.from(special, ([argument]) => argument),
    )
    for (const [i, [argument, expected]] of special.entries()) {
      const got = results[i]
      const close = Number.isNaN(expected)
        ? Number.isNaN(got)
        : got === expected || Math.abs(got - expected) <= Math.abs(expected) * 1e-6 + 1e-30
      if (!close) expect.fail(`${code}(${argument}) is ${got}, expected ${expected}`)
    }
  })

  test('min and max propagate NaN from either side; select does not look at the branch not taken', async () => {
    const a = Float32Array.of(1, nan, 2, nan, -inf, 5)
    const b = Float32Array.of(2, 1, nan, nan, inf, 4)
    expect([...(await apply((p, x, y) => p.min(x, y), a, b))]).toEqual([1, nan, nan, nan, -inf, 4])
    expect([...(await apply((p, x, y) => p.max(x, y), a, b))]).toEqual([2, nan, nan, nan, inf, 5])
    const condition = Float32Array.of(1, 0, 1, 0, nan, 0)
    expect([...(await apply((p, c, x, y) => p.select(c, x, y), condition, a, b))]).toEqual([1, 1, 2, nan, -inf, 4])
  })

  test('pow follows C: exact at 0, negative bases and NaN exponents', async () => {
    const a = Float32Array.of(2, 0, -2, -2, 9, 0, 1)
    const b = Float32Array.of(10, 0, 3, 0.5, 0.5, -1, nan)
    expect([...(await apply((p, x, y) => p.pow(x, y), a, b))]).toEqual([1024, 1, -8, nan, 3, inf, 1])
  })
})
