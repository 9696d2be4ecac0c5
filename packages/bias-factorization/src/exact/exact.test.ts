import {
  type AttentionOptions,
  add,
  attention,
  backward,
  type Device,
  hostNormal,
  hostUniform,
  mul,
  neg,
  reference,
  reshape,
  rngKey,
  scope,
  square,
  sub,
  sum,
  type Tensor,
  unsqueeze,
} from '@ditkit/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  addFactors,
  alibiFactors,
  alibiSlopes,
  denseBias,
  type FactoredBias,
  gaussianFactors,
  multiplyFactors,
  outerFactors,
  scaleFactors,
  segmentFactors,
  squaredDistanceFactors,
} from '../index'

let f64: Device
let f32: Device
let live = 0
beforeAll(async () => {
  f64 = await reference({ dtype: 'f64' })
  f32 = await reference()
  live = f64.memory().liveTensors
})
afterAll(() => {
  f64.dispose()
  f32.dispose()
})

function random(
  device: Device,
  shape: readonly number[],
  seed: number,
  options: { offset?: number; requiresGrad?: boolean } = {},
) {
  const values = hostNormal(
    rngKey(seed),
    shape.reduce((a, b) => a * b, 1),
  )
  return device.tensor(
    Float64Array.from(values, x => x + (options.offset ?? 0)),
    shape,
    { requiresGrad: options.requiresGrad },
  )
}

const numbers = async (t: Tensor) => Float64Array.from(await t.data())

/** Largest difference, over the largest expected value. */
async function error(actual: Tensor, expected: ArrayLike<number>, use: (i: number) => boolean = () => true) {
  const values = await actual.data()
  expect(values.length).toBe(expected.length)
  let [worst, largest] = [0, 0]
  for (let i = 0; i < expected.length; i++) {
    if (!use(i)) continue
    worst = Math.max(worst, Math.abs(values[i] - expected[i]))
    largest = Math.max(largest, Math.abs(expected[i]))
  }
  return worst / largest
}

/** −scale·‖x − y‖² written out, [B, 1, Lq, Lk]. */
function denseDistance(x: Tensor, y: Tensor): Tensor {
  return unsqueeze(neg(sum(square(sub(unsqueeze(x, 2), unsqueeze(y, 1))), 3)), 1)
}

describe('alibiFactors', () => {
  it.each([
    ['top-left', 5, 7, 0],
    ['bottom-right', 5, 7, 2],
    ['top-left', 59, 59, 0],
    ['top-left', 1, 1, 0],
  ] as const)(
    'is −m(i − j) where a causal query may look, %s %d × %d',
    async (align, queryTokens, keyTokens, shift) => {
      const slopes = alibiSlopes(3)
      for (const device of [f32, f64]) {
        const factors = alibiFactors(device, { queryTokens, keyTokens, slopes, align })
        expect(factors.key.shape).toEqual([1, keyTokens, 1, 2])
        const at = (k: number) => [Math.floor(k / keyTokens) % queryTokens, k % keyTokens]
        const expected = Float64Array.from({ length: 3 * queryTokens * keyTokens }, (_, k) => {
          const [i, j] = at(k)
          return -slopes[Math.floor(k / (queryTokens * keyTokens))] * (i + shift - j) - (keyTokens === 1 ? -1 : 0)
        })
        const one = keyTokens === 1 ? add(denseBias(factors), 1) : denseBias(factors)
        const causal = (k: number) => at(k)[1] <= at(k)[0] + shift
        expect(await error(one, expected, causal)).toBeLessThan(1e-6)
      }
    },
  )

  it("has the paper's slopes", () => {
    expect(alibiSlopes(8)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map(h => 2 ** -h))
    expect(alibiSlopes(3)).toEqual([2 ** -4, 2 ** -8, 2 ** -2])
  })

  it('stays exact far from the start', async () => {
    const n = 4096
    const { query, key } = alibiFactors(f32, { queryTokens: n, keyTokens: n, slopes: [1 / 3] })
    const [q, k] = [await query.data(), await key.data()]
    let worst = 0
    for (let i = 4000; i < n; i++) {
      for (let j = 0; j <= i; j++) {
        const value = Math.fround(q[2 * i] * k[2 * j]) + Math.fround(q[2 * i + 1] * k[2 * j + 1])
        worst = Math.max(worst, Math.abs(value + (i - j) / 3))
      }
    }
    expect(worst / (n / 3)).toBeLessThan(1e-6)
  })

  it('refuses the symmetric form, with the reason', () => {
    expect(() => alibiFactors(f32, { queryTokens: 4, keyTokens: 4, slopes: [1], form: 'symmetric' })).toThrow(
      /full rank.*dense/,
    )
  })
})

describe('squaredDistanceFactors', () => {
  it.each([
    [1, 7, 59],
    [2, 59, 1],
    [3, 147, 587],
    [7, 5, 9],
  ])('is −‖x − y‖² in %d dimensions, of rank n + 2, for points far from the origin', async (n, queries, keys) => {
    for (const [device, offset] of [
      [f32, 1000],
      [f64, 1e6],
    ] as const) {
      const [x, y] = [random(device, [2, queries, n], 1, { offset }), random(device, [2, keys, n], 2, { offset })]
      const factors = squaredDistanceFactors(x, y)
      expect(factors.query.shape).toEqual([2, queries, 1, n + 2])
      expect(factors.key.shape).toEqual([2, keys, 1, n + 2])
      const exact = denseDistance(f64.tensor(await numbers(x), x.shape), f64.tensor(await numbers(y), y.shape))
      expect(await error(denseBias(factors), await numbers(exact))).toBeLessThan(device === f32 ? 1e-6 : 1e-11)
    }
  })

  it('takes a scale per head and per query', async () => {
    const [x, y] = [random(f64, [2, 5, 3], 1), random(f64, [1, 6, 3], 2)]
    const distance = denseDistance(x, y)
    for (const [shape, as] of [
      [[4], [1, 4, 1, 1]],
      [
        [1, 5, 1],
        [1, 1, 5, 1],
      ],
    ]) {
      const scale = random(f64, shape, 3)
      const expected = await numbers(mul(distance, reshape(scale, as)))
      expect(await error(denseBias(squaredDistanceFactors(x, y, { scale })), expected)).toBeLessThan(1e-12)
    }
  })

  it('does not see what a mask leaves out', async () => {
    const run = (garbage: number) => {
      const x = Float64Array.from(hostNormal(rngKey(1), 2 * 4 * 2))
      const y = Float64Array.from(hostNormal(rngKey(2), 2 * 5 * 2))
      x.fill(garbage, 14)
      y.fill(garbage, 0, 4)
      const queryMask = f64.tensor(Uint8Array.of(1, 1, 1, 1, 1, 1, 1, 0), [2, 4])
      const keyMask = f64.tensor(Uint8Array.of(0, 0, 1, 1, 1, 1, 1, 1, 1, 1), [2, 5])
      const [points, keys] = [
        f64.tensor(x, [2, 4, 2], { requiresGrad: true }),
        f64.tensor(y, [2, 5, 2], { requiresGrad: true }),
      ]
      const bias = denseBias(squaredDistanceFactors(points, keys, { queryMask, keyMask }))
      backward(bias, f64.ones(bias.shape))
      return [bias, points.grad as Tensor, keys.grad as Tensor]
    }
    const [clean, dirty] = [run(0), run(Number.NaN)]
    for (const [i, tensor] of clean.entries()) expect(await numbers(dirty[i])).toEqual(await numbers(tensor))
    expect((await numbers(clean[1])).slice(14)).toEqual(Float64Array.of(0, 0))
  })

  it('names what does not go together', async () => {
    const x = random(f32, [2, 5, 3], 1)
    expect(() => squaredDistanceFactors(x, random(f32, [2, 5, 2], 2))).toThrow('points of 3 dimensions but key of 2')
    expect(() => squaredDistanceFactors(x, random(f32, [3, 5, 3], 2))).toThrow('batches of query and key')
    expect(() => squaredDistanceFactors(x, x, { keyMask: f32.zeros([2, 4]) })).toThrow(
      'keyMask has shape [2, 4] (expected [2, 5]',
    )
    expect(() => squaredDistanceFactors(x, x, { scale: f32.zeros([2, 4]) })).toThrow('scale has shape [2, 4]')
    const bad = squaredDistanceFactors(x, f32.tensor([Number.NaN, 1, 2], [1, 1, 3]))
    await expect(bad.query.data()).rejects.toThrow('key holds a coordinate that is not finite')
  })
})

describe('gaussianFactors', () => {
  it.each([
    [1, 0.5, 2, 1e-3],
    [1, 3, 30, 1e-2],
    [2, 1, 3, 1e-3],
    [2, 0.4, 2, 1e-4],
    [3, 2, 2.5, 1e-2],
  ])('in %d dimensions, sigma %d, extent %d: no entry is off by more than %d', async (n, sigma, extent, tolerance) => {
    const points = (seed: number, count: number) =>
      Float64Array.from(hostUniform(rngKey(seed), n * count), u => 50 + u * extent)
    const [x, y] = [f64.tensor(points(1, 40), [1, 40, n]), f64.tensor(points(2, 60), [1, 60, n])]
    const factors = gaussianFactors(x, y, { sigma, extent, tolerance, maxRank: 1000 })
    const distance = await numbers(denseDistance(x, y))
    const values = await numbers(denseBias(factors))
    const worst = Math.max(...values.map((value, i) => Math.abs(value - Math.exp(distance[i] / (2 * sigma ** 2)))))
    expect(worst).toBeLessThanOrEqual(tolerance)
    expect(worst).toBeGreaterThan(tolerance / 1000)
  })

  it('says which rank it would take, and when points are too far apart', async () => {
    const [x, y] = [random(f64, [1, 9, 3], 1), random(f64, [1, 9, 3], 2)]
    expect(() => gaussianFactors(x, y, { sigma: 0.5, extent: 8 })).toThrow(/takes rank \d+ .* maxRank = 256/)
    const far = gaussianFactors(x, y, { sigma: 3, extent: 1 })
    await expect(far.query.data()).rejects.toThrow('farther apart than the extent 1')
    expect(() => gaussianFactors(x, y, { sigma: [1, 1], extent: 1 })).toThrow('sigma is 1,1')
  })
})

describe('segmentFactors', () => {
  it('gives every key the weight of its segment, per query and head', async () => {
    const weights = random(f64, [2, 3, 4, 3], 1)
    const lengths = [5, 1, 2]
    const factors = segmentFactors(weights, lengths)
    expect(factors.key.shape).toEqual([1, 8, 1, 3])
    const w = await numbers(weights)
    const of = [0, 0, 0, 0, 0, 1, 2, 2]
    const expected = Float64Array.from({ length: 2 * 4 * 3 * 8 }, (_, k) => {
      const [j, i, h, b] = [k % 8, Math.floor(k / 8) % 3, Math.floor(k / 24) % 4, Math.floor(k / 96)]
      return w[((b * 3 + i) * 4 + h) * 3 + of[j]]
    })
    expect(await numbers(denseBias(factors))).toEqual(expected)
    const ids = segmentFactors(weights, f64.tensor(Int32Array.from(of), [8]))
    expect(await numbers(denseBias(ids))).toEqual(expected)
  })

  it('refuses an empty modality and numbers of segments that differ', async () => {
    const weights = random(f64, [1, 3, 2], 1)
    expect(() => segmentFactors(weights, [5, 0])).toThrow('segment 1 has 0 keys')
    expect(() => segmentFactors(weights, [5])).toThrow('are for 2 segments')
    const wrong = segmentFactors(weights, f64.tensor(Int32Array.of(0, 2), [2]))
    await expect(wrong.key.data()).rejects.toThrow()
    const ids = (...of: number[]) => segmentFactors(weights, f64.tensor(Int32Array.from(of), [2, of.length / 2]))
    await expect(ids(0, 0, 0, 0).key.data()).rejects.toThrow('a segment has no keys')
    // Of one sample it may be missing: another has it.
    expect(await numbers(ids(0, 0, 0, 1).key)).toEqual(Float64Array.of(1, 0, 1, 0, 1, 0, 0, 1))
  })
})

describe('a scale that is not finite', () => {
  const points = () => random(f64, [1, 2, 3], 1)
  const nan = (...shape: number[]) => f64.tensor(Float64Array.of(Number.NaN, 1), shape)

  it('is reported at the next read, where all queries of a head or a query that takes part would get NaN', async () => {
    const tokens = { queryTokens: 2, keyTokens: 2 }
    for (const factors of [
      () => squaredDistanceFactors(points(), points(), { scale: nan(2) }),
      () => squaredDistanceFactors(points(), points(), { scale: nan(1, 2, 1) }),
      () => gaussianFactors(points(), points(), { sigma: 9, extent: 9, scale: nan(1, 2, 1) }),
      () => scaleFactors(squaredDistanceFactors(points(), points()), nan(2)),
    ]) {
      await expect(factors().query.data()).rejects.toThrow('scale holds a number that is not finite')
    }
    const slopes = alibiFactors(f64, { ...tokens, slopes: nan(2) })
    await expect(slopes.query.data()).rejects.toThrow('slopes holds a number that is not finite')
  })

  it('of a query that a mask leaves out is not looked at', async () => {
    const queryMask = f64.tensor(Uint8Array.of(0, 1), [1, 2])
    const { query } = squaredDistanceFactors(points(), points(), { scale: nan(1, 2, 1), queryMask })
    expect((await numbers(query)).slice(5).every(Number.isFinite)).toBe(true)
  })
})

describe('sums and products', () => {
  const biases = (): [FactoredBias, FactoredBias] => [
    { query: random(f64, [2, 3, 1, 2], 1), key: random(f64, [1, 5, 1, 2], 2) },
    { query: random(f64, [1, 3, 4, 3], 3), key: random(f64, [2, 5, 4, 3], 4) },
  ]

  it('are those of the biases', async () => {
    const [a, b] = biases()
    const [whole, other] = [denseBias(a), denseBias(b)]
    const [total, product] = [addFactors(a, b), multiplyFactors(a, b)]
    expect([total.query.shape[3], product.key.shape[3]]).toEqual([5, 6])
    expect(await error(denseBias(total), await numbers(add(whole, other)))).toBeLessThan(1e-14)
    expect(await error(denseBias(product), await numbers(mul(whole, other)))).toBeLessThan(1e-14)
    expect(await error(denseBias(scaleFactors(a, -2)), await numbers(mul(whole, -2)))).toBeLessThan(1e-14)
    const [u, w] = [random(f64, [1, 3, 1], 5), random(f64, [2, 5, 4], 6)]
    const outer = denseBias(outerFactors(u, w))
    expect(outer.shape).toEqual([2, 4, 3, 5])
  })

  it('name the factors that do not go together', () => {
    const [a] = biases()
    const other = { query: random(f64, [2, 4, 1, 2], 1), key: random(f64, [1, 5, 1, 2], 2) }
    expect(() => addFactors(a, other)).toThrow('the query factors have 3 and 4 tokens')
    expect(() => multiplyFactors(a, { ...a, key: random(f64, [3, 5, 1, 2], 1) })).toThrow('batch')
    expect(() => addFactors()).toThrow('got no bias')
    expect(() => denseBias({ query: a.query, key: random(f64, [1, 5, 1, 3], 1) })).toThrow('rank 2 but factors.key 3')
    expect(() => scaleFactors(a, Number.NaN)).toThrow('scale is NaN')
  })
})

describe('attention with exact factors', () => {
  /** What makes a bias, from leaves; with its dense counterpart. */
  type Route = (t: Tensor[]) => { factors: FactoredBias; dense: Tensor; options?: AttentionOptions }
  const shapes = { x: [2, 7, 3], y: [2, 9, 3], perHead: [4], weights: [2, 7, 4, 2] }
  const routes: [string, number[][], Route][] = [
    [
      'squared distance, scale per head',
      [shapes.x, shapes.y, shapes.perHead],
      ([x, y, s]) => ({
        factors: squaredDistanceFactors(x, y, { scale: s }),
        dense: mul(denseDistance(x, y), reshape(s, [1, 4, 1, 1])),
      }),
    ],
    [
      'segment weights plus distance',
      [shapes.x, shapes.y, shapes.weights],
      ([x, y, w]) => {
        const segments = segmentFactors(w, [6, 3])
        const distance = squaredDistanceFactors(x, y)
        return { factors: addFactors(segments, distance), dense: add(denseBias(segments), denseDistance(x, y)) }
      },
    ],
    [
      'segment weights times distance',
      [shapes.x, shapes.y, shapes.weights],
      ([x, y, w]) => {
        const segments = segmentFactors(w, [6, 3])
        const distance = squaredDistanceFactors(x, y)
        return { factors: multiplyFactors(segments, distance), dense: mul(denseBias(segments), denseDistance(x, y)) }
      },
    ],
    [
      'ALiBi with learned slopes',
      [shapes.perHead],
      ([m]) => {
        const offsets = Float64Array.from({ length: 63 }, (_, k) => -(Math.floor(k / 9) + 2 - (k % 9)))
        return {
          factors: alibiFactors(f64, { queryTokens: 7, keyTokens: 9, slopes: m, align: 'bottom-right' }),
          dense: mul(f64.tensor(offsets, [1, 1, 7, 9]), reshape(m, [1, 4, 1, 1])),
          options: { causal: 'bottom-right' },
        }
      },
    ],
  ]

  it.each(routes)('%s: output and all gradients are those of the dense bias', async (_, leafShapes, route) => {
    const mask = f64.tensor(
      Uint8Array.from(hostUniform(rngKey(77), 63), (u, k) => (u < 0.7 || k % 9 === 0 ? 1 : 0)),
      [7, 9],
    )
    const keyMask = f64.tensor(
      Uint8Array.from({ length: 18 }, (_, k) => (k === 16 || k === 17 ? 0 : 1)),
      [2, 9],
    )
    const run = (kind: 'factors' | 'dense') => {
      const [q, k, v] = [
        [2, 7, 4, 5],
        [2, 9, 4, 5],
        [2, 9, 4, 5],
      ].map((shape, i) => random(f64, shape, 10 + i, { requiresGrad: true }))
      const leaves = leafShapes.map((shape, i) => random(f64, shape, 20 + i, { requiresGrad: true }))
      const made = route(leaves)
      const bias = kind === 'dense' ? { bias: made.dense } : { factoredBias: made.factors }
      const out = attention(q, k, v, { ...made.options, ...bias, mask, keyMask })
      backward(out, random(f64, out.shape, 30))
      return [out, ...[q, k, v, ...leaves].map(leaf => leaf.grad as Tensor)]
    }
    const [factored, dense] = [run('factors'), run('dense')]
    for (const [i, tensor] of factored.entries()) {
      expect(await error(tensor, await numbers(dense[i])), `tensor ${i}`).toBeLessThan(1e-10)
    }
  })
})

it('leaves nothing behind', async () => {
  const before = f64.memory().liveTensors
  scope(() => {
    const [x, y] = [random(f64, [2, 7, 3], 1), random(f64, [2, 9, 3], 2)]
    const a = squaredDistanceFactors(x, y, { scale: f64.ones([4]) })
    const b = segmentFactors(random(f64, [2, 7, 2], 3), [6, 3])
    denseBias(addFactors(multiplyFactors(a, b), gaussianFactors(x, y, { sigma: 9, extent: 9 })))
  })
  expect(f64.memory().liveTensors).toBe(before)
  expect(live).toBeLessThanOrEqual(before)
})
