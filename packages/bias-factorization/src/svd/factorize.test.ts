import { attention, type Device, grad, hostNormal, reference, rngKey, type Tensor } from '@ditkit/core'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { denseBias, type FactoredResult, type FactorizeOptions, factorize, payingRank } from '../index'
import { orthonormalRows } from './orthonormal-rows'
import { symmetricEigen } from './symmetric-eigen'

let f64: Device
let f32: Device
beforeAll(async () => {
  f64 = await reference({ dtype: 'f64' })
  f32 = await reference()
})
afterAll(() => {
  f64.dispose()
  f32.dispose()
})
afterEach(() => vi.restoreAllMocks())

const BLOCKED = Number.NEGATIVE_INFINITY

/** rows × columns with these singular values and random directions. */
function withSpectrum(rows: number, columns: number, singular: readonly number[], seed = 1): Float64Array {
  const n = singular.length
  const [left, right] = [rows, columns].map((width, i) =>
    orthonormalRows(Float64Array.from(hostNormal(rngKey(seed + i), n * width)), n, width),
  )
  const values = new Float64Array(rows * columns)
  for (let s = 0; s < n; s++) {
    for (let i = 0; i < rows; i++) {
      const factor = singular[s] * left[s * rows + i]
      for (let j = 0; j < columns; j++) values[i * columns + j] += factor * right[s * columns + j]
    }
  }
  return values
}

/** The smallest rank that keeps a share of the sum of squares. */
function smallestRank(singular: readonly number[], energy: number): number {
  const total = singular.reduce((sum, x) => sum + x * x, 0)
  let [rank, kept] = [0, 0]
  while (kept < energy * total) kept += singular[rank++] ** 2
  return rank
}

async function factoredOf(bias: Tensor, options?: FactorizeOptions): Promise<FactoredResult> {
  const result = await factorize(bias, options)
  if (result.kind === 'dense') throw new Error(result.reason)
  return result
}

async function largestDifference(a: Tensor, b: ArrayLike<number>): Promise<number> {
  const values = await a.data()
  return Math.max(...Array.from(values, (x, i) => Math.abs(x - b[i])))
}

it('finds eigenvalues and eigenvectors of a symmetric matrix', () => {
  const n = 59
  const singular = Array.from({ length: n }, (_, k) => 2 ** (-k / 4))
  const a = withSpectrum(n, 7 * n, singular)
  const gram = Float64Array.from({ length: n * n }, (_, k) => {
    let sum = 0
    for (let j = 0; j < 7 * n; j++) sum += a[Math.floor(k / n) * 7 * n + j] * a[(k % n) * 7 * n + j]
    return sum
  })
  const { values, vectors } = symmetricEigen(gram, n)
  for (let k = 0; k < n; k++) expect(Math.abs(values[k] - singular[k] ** 2)).toBeLessThan(1e-13)
  const product = Float64Array.from({ length: n * n }, (_, k) => {
    let sum = 0
    for (let e = 0; e < n; e++) sum += vectors[e * n + Math.floor(k / n)] * values[e] * vectors[e * n + (k % n)]
    return sum
  })
  expect(Math.max(...product.map((x, k) => Math.abs(x - gram[k])))).toBeLessThan(1e-13)
})

describe('the rank', () => {
  const spectra: [string, number[]][] = [
    ['geometric', Array.from({ length: 59 }, (_, k) => 0.8 ** k)],
    ['slowly falling', Array.from({ length: 59 }, (_, k) => 1 / (k + 1))],
    ['of two levels', Array.from({ length: 59 }, (_, k) => (k < 12 ? 3 : 0.1))],
  ]
  const shapes = [
    [59, 147],
    [147, 59],
  ]
  const cases = spectra.flatMap(([name, singular]) => shapes.map(shape => [name, shape, singular] as const))

  it.each(cases)('is the smallest for the energy, by both methods: %s, %j', async (_, [rows, columns], singular) => {
    const bias = f64.tensor(withSpectrum(rows, columns, singular), [rows, columns])
    for (const energy of [0.9, 0.95, 0.99, 0.995]) {
      for (const method of ['full', 'randomized'] as const) {
        const result = await factoredOf(bias, { energy, maxRank: 59, method })
        expect(result.rank, `${method} ${energy}`).toBe(smallestRank(singular, energy))
        expect(result.energy).toBeGreaterThanOrEqual(energy)
        const rest = Math.sqrt(singular.slice(result.rank).reduce((sum, x) => sum + x * x, 0))
        expect(Math.abs(result.residual.frobenius / rest - 1)).toBeLessThan(1e-3)
      }
    }
  })

  it('is the smallest in f32 too, also of a matrix that is exactly of that rank', async () => {
    const singular = [4, 3, 2, 1]
    const bias = f32.tensor(withSpectrum(147, 187, singular), [147, 187])
    for (const method of ['full', 'randomized'] as const) {
      const result = await factoredOf(bias, { energy: 1 - 1e-10, method })
      expect(result.rank).toBe(4)
      expect(result.residual.relative).toBeLessThan(1e-6)
      expect((await factoredOf(bias, { energy: 0.95, method })).rank).toBe(smallestRank(singular, 0.95))
    }
  })

  it('keeps what is asked as measured, where a sum of squares in f32 cannot tell', async () => {
    const singular = [1, 1, 1, 1e-3, 1e-3]
    const bias = f32.tensor(withSpectrum(60, 90, singular), [60, 90])
    expect((await factoredOf(bias, { energy: 1 - 1e-9 })).rank).toBe(5)
    expect(await factorize(bias, { energy: 1 - 1e-9, maxRank: 4 })).toMatchObject({ kind: 'dense' })
  })

  it('is what maxRank says where nothing else is asked, or the rank of the bias', async () => {
    const bias = f64.tensor(withSpectrum(60, 90, [5, 4, 3, 2, 1]), [60, 90])
    expect((await factoredOf(bias, { maxRank: 3 })).rank).toBe(3)
    expect((await factoredOf(bias, { maxRank: 20 })).rank).toBe(5)
    expect((await factoredOf(bias, { maxRank: 20, method: 'randomized' })).rank).toBe(5)
  })

  it('is high enough for the tolerance, and no higher', async () => {
    const singular = Array.from({ length: 40 }, (_, k) => 0.8 ** k)
    const values = withSpectrum(60, 80, singular)
    const bias = f64.tensor(values, [60, 80])
    for (const method of ['full', 'randomized'] as const) {
      const result = await factoredOf(bias, { tolerance: 1e-3, maxRank: 40, method })
      const error = await largestDifference(denseBias(result.factoredBias), values)
      expect(error).toBeLessThanOrEqual(1e-3)
      expect(Math.abs(error - result.residual.largest)).toBeLessThan(1e-12)
      const lower = await factoredOf(bias, { maxRank: result.rank - 1, method })
      expect(lower.residual.largest).toBeGreaterThan(1e-3)
    }
  })

  it('may differ between heads and samples; all are in one pair of factors', async () => {
    const ranks = [3, 1, 2, 0, 4, 2]
    const parts = ranks.map((rank, i) => withSpectrum(40, 50, Array(rank).fill(1), 10 * i + 1))
    const values = Float64Array.from(parts.flatMap(part => Array.from(part)))
    const result = await factoredOf(f64.tensor(values, [2, 3, 40, 50]), { energy: 1 - 1e-12 })
    expect(result.matrices.map(({ rank }) => rank)).toEqual(ranks.map(rank => Math.max(1, rank)))
    expect(result.factoredBias.query.shape).toEqual([2, 40, 3, 4])
    expect(result.factoredBias.key.shape).toEqual([2, 50, 3, 4])
    expect(await largestDifference(denseBias(result.factoredBias), values)).toBeLessThan(1e-10)
  })

  it("shares the key's factor over heads where asked", async () => {
    const base = withSpectrum(40, 50, [3, 2, 1])
    const values = Float64Array.from([1, -2, 0.5, 3].flatMap(scale => Array.from(base, x => scale * x)))
    const result = await factoredOf(f64.tensor(values, [1, 4, 40, 50]), { energy: 1 - 1e-12, heads: 'shared' })
    expect(result.factoredBias.query.shape).toEqual([1, 40, 4, 3])
    expect(result.factoredBias.key.shape).toEqual([1, 50, 1, 3])
    expect(await largestDifference(denseBias(result.factoredBias), values)).toBeLessThan(1e-10)
  })
})

describe('a bias whose rank does not pay', () => {
  /** 0 within `width` of the diagonal, −10 elsewhere. */
  const band = (n: number, width: number) =>
    Float64Array.from({ length: n * n }, (_, k) => (Math.abs(Math.floor(k / n) - (k % n)) <= width ? 0 : -10))

  it('a windowed band stays dense, and says why', async () => {
    for (const [n, method] of [
      [64, 'full'],
      [200, 'randomized'],
    ] as const) {
      const bias = f32.tensor(band(n, 3), [n, n])
      const result = await factorize(bias, { energy: 0.99, method })
      expect(result.kind).toBe('dense')
      if (result.kind !== 'dense') return
      expect(result.reason).toMatch(/rank \d+ .*would not pay/)
      expect(result.options.bias).toBe(bias)
    }
  })

  it('energy overlooks wrong entries that the tolerance finds', async () => {
    const bias = f32.tensor(band(64, 7), [64, 64])
    const byEnergy = await factoredOf(bias, { energy: 0.99, tolerance: Number.POSITIVE_INFINITY, maxRank: 64 })
    expect(byEnergy.residual.largest).toBeGreaterThan(3)
    const result = await factorize(bias, { energy: 0.95 })
    expect(result).toMatchObject({
      kind: 'dense',
      reason: expect.stringMatching(/at rank 16 an entry is still off by/),
    })
  })

  it('a bias of a few tokens stays dense', async () => {
    expect(payingRank(1, 7)).toBe(0)
    expect(await factorize(f32.ones([1, 7]))).toMatchObject({ kind: 'dense' })
    expect(payingRank(900, 56400)).toBe(64)
  })
})

describe('attention', () => {
  /** A bias of rank 3 with blocked columns, and a row of them. */
  function values(rows: number, columns: number): Float64Array {
    return withSpectrum(rows, columns, [30, 20, 10]).map((x, k) => (k % columns > columns - 9 ? BLOCKED : x))
  }

  it('with what factorize gives is attention with the bias, for both kinds, gradients too', async () => {
    const [rows, columns] = [30, 47]
    const bias = f64.tensor(values(rows, columns), [rows, columns])
    const run = async (options: Parameters<typeof attention>[3]) => {
      const [q, k, v] = [rows, columns, columns].map((n, i) =>
        f64.tensor(hostNormal(rngKey(5 + i), n * 8), [1, n, 2, 4], { requiresGrad: true }),
      )
      const out = attention(q, k, v, options)
      const gradients = grad(out, [q, k, v], f64.tensor(hostNormal(rngKey(9), out.size), out.shape))
      return Promise.all([out, ...gradients].map(async t => Float64Array.from(await t.data())))
    }
    const factored = await factoredOf(bias, { energy: 1 - 1e-13 })
    expect(factored.rank).toBe(3)
    const both = await run(factored.options)
    const whole = await run({ bias })
    for (const [i, tensor] of both.entries()) {
      expect(Math.max(...tensor.map((x, k) => Math.abs(x - whole[i][k])))).toBeLessThan(1e-9)
    }
    const refused = await factorize(bias, { energy: 1 - 1e-13, maxRank: 2 })
    expect(refused.kind).toBe('dense')
    expect(await run(refused.options)).toEqual(whole)
  })

  it('never reads what a mask leaves out', async () => {
    const clean = withSpectrum(30, 40, [3, 2])
    const garbage = clean.map((x, k) => (k % 40 >= 35 ? [Number.NaN, Number.POSITIVE_INFINITY, 1e30][k % 3] : x))
    const allowed = f64.tensor(
      Uint8Array.from({ length: 40 }, (_, j) => (j >= 35 ? 0 : 1)),
      [1, 40],
    )
    const [a, b] = await Promise.all(
      [clean, garbage].map(data => factoredOf(f64.tensor(data, [30, 40]), { mask: allowed, maxRank: 2 })),
    )
    expect(await b.factoredBias.query.data()).toEqual(await a.factoredBias.query.data())
    expect(await b.factoredBias.key.data()).toEqual(await a.factoredBias.key.data())
    expect(await b.mask?.data()).toEqual(await a.mask?.data())
  })
})

it('refuses what it cannot do, naming the way out', async () => {
  const bias = f32.ones([20, 30])
  await expect(factorize(bias, { energy: 99 })).rejects.toThrow('energy is 99 (expected a share')
  await expect(factorize(bias, { maxRank: 31 })).rejects.toThrow('larger than both sides of a bias of 20 × 30')
  await expect(factorize(bias, { maxRank: 0 })).rejects.toThrow('maxRank is 0')
  await expect(factorize(bias, { tolerance: 0 })).rejects.toThrow('tolerance is 0')
  await expect(factorize(bias, { maxrank: 3 } as never)).rejects.toThrow('there is no option maxrank')
  await expect(factorize(f32.ones([3, 20, 30]))).rejects.toThrow('one per head is [1, H, Lq, Lk]')
  await expect(factorize(bias, { mask: f32.ones([20, 31], { dtype: 'bool' }) })).rejects.toThrow('does not broadcast')
  const bad = new Float32Array(600).fill(1)
  bad[47] = Number.NaN
  await expect(factorize(f32.tensor(bad, [20, 30]))).rejects.toThrow(/NaN, \+Infinity.*\(sample 0, head 0, query 1\)/)
})

it('says once that a sample may attend to nothing', async () => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
  const own = await reference()
  const bias = own.ones([2, 1, 20, 30])
  const mask = own.tensor(Uint8Array.of(1, 0), [2, 1, 1])
  for (let i = 0; i < 2; i++) await factorize(bias, { mask, energy: 0.9 })
  expect(warn).toHaveBeenCalledOnce()
  expect(warn.mock.calls[0][0]).toContain('nothing in sample 1 may attend to anything')
  own.dispose()
})

it('leaves nothing behind but its result', async () => {
  const own = await reference()
  const bias = own.tensor(withSpectrum(40, 60, [3, 2, 1]), [1, 1, 40, 60])
  for (const method of ['full', 'randomized'] as const) {
    const before = own.memory().liveTensors
    const result = await factorize(bias, { energy: 0.99, method })
    if (result.kind === 'dense') throw new Error(result.reason)
    result.factoredBias.query.dispose()
    result.factoredBias.key.dispose()
    expect(own.memory().liveTensors).toBe(before)
    await factorize(bias, { tolerance: 1e-9, maxRank: 2, method })
    expect(own.memory().liveTensors).toBe(before)
  }
  own.dispose()
})
