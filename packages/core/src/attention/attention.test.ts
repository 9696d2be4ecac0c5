import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type AttentionOptions,
  attention,
  attentionWeights,
  backward,
  type Device,
  grad,
  hostNormal,
  packedAttention,
  packedCrossAttention,
  reference,
  reshape,
  rngKey,
  slice,
  type Tensor,
} from '../index'

let device: Device
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
})
afterAll(() => device.dispose())

const KERNELS = ['chunked', 'standard'] as const

function random(shape: number[], seed: number, requiresGrad = true): Tensor {
  const size = shape.reduce((a, b) => a * b, 1)
  return device.tensor(hostNormal(rngKey(seed), size), shape, { requiresGrad })
}

/** Attention written as the textbook has it, with numbers; undefined scores are excluded pairs. */
function textbook(q: number[][], k: number[][], v: number[][], allowed: (i: number, j: number) => boolean): number[][] {
  return q.map((row, i) => {
    const scores = k.map((key, j) =>
      allowed(i, j) ? row.reduce((sum, x, d) => sum + x * key[d], 0) / Math.sqrt(row.length) : Number.NEGATIVE_INFINITY,
    )
    const top = Math.max(...scores)
    const weights = scores.map(s => (top === Number.NEGATIVE_INFINITY ? 0 : Math.exp(s - top)))
    const total = weights.reduce((a, b) => a + b, 0)
    return v[0].map((_, d) => (total === 0 ? 0 : v.reduce((sum, value, j) => sum + weights[j] * value[d], 0) / total))
  })
}

async function rows(t: Tensor, b: number, h: number): Promise<number[][]> {
  const data = await t.data()
  const [, n, heads, d] = t.shape
  return Array.from({ length: n }, (_, i) =>
    Array.from({ length: d }, (_, x) => data[((b * n + i) * heads + h) * d + x] as number),
  )
}

function expectClose(actual: number[][], expected: number[][]): void {
  const differences = actual.flat().map((x, i) => Math.abs(x - expected.flat()[i]))
  expect(Math.max(...differences)).toBeLessThan(1e-13)
}

describe.each(KERNELS)('%s', kernel => {
  it('is softmax attention per sample and head', async () => {
    const [q, k, v] = [random([2, 5, 3, 4], 1), random([2, 7, 3, 4], 2), random([2, 7, 3, 6], 3)]
    const out = attention(q, k, v, { kernel })
    expect(out.shape).toEqual([2, 5, 3, 6])
    for (const [b, h] of [
      [0, 0],
      [1, 2],
    ]) {
      const expected = textbook(await rows(q, b, h), await rows(k, b, h), await rows(v, b, h), () => true)
      const actual = await rows(out, b, h)
      expectClose(actual, expected)
    }
  })

  it.each([
    ['top-left', (i: number, j: number) => j <= i],
    [true, (i: number, j: number) => j <= i],
    ['bottom-right', (i: number, j: number) => j - 7 <= i - 5],
  ] as const)('causal %s excludes the keys after the query', async (causal, allowed) => {
    const [q, k, v] = [random([1, 5, 1, 4], 1), random([1, 7, 1, 4], 2), random([1, 7, 1, 4], 3)]
    const expected = textbook(await rows(q, 0, 0), await rows(k, 0, 0), await rows(v, 0, 0), allowed)
    const actual = await rows(attention(q, k, v, { kernel, causal }), 0, 0)
    expectClose(actual, expected)
  })

  it('gives gradients that agree with finite differences in every operand', async () => {
    const shapes = {
      q: [2, 3, 2, 4],
      k: [2, 5, 2, 4],
      v: [2, 5, 2, 3],
      bias: [1, 2, 3, 5],
      fq: [1, 3, 2, 2],
      fk: [2, 5, 1, 2],
    }
    const host = Object.fromEntries(
      Object.entries(shapes).map(([name, shape], i) => [
        name,
        {
          shape,
          data: hostNormal(
            rngKey(i),
            shape.reduce((a, b) => a * b),
          ),
        },
      ]),
    )
    const g = random([2, 3, 2, 3], 50, false)
    const run = (values: typeof host) => {
      const t = Object.fromEntries(
        Object.entries(values).map(([name, x]) => [name, device.tensor(x.data, x.shape, { requiresGrad: true })]),
      )
      const options: AttentionOptions = {
        kernel,
        bias: t.bias,
        factoredBias: { query: t.fq, key: t.fk },
        causal: 'bottom-right',
        keyLengths: device.tensor([5, 3], [2], { dtype: 'i32' }),
        dropout: 0.25,
        rng: rngKey(9),
      }
      return { t, out: attention(t.q, t.k, t.v, options) }
    }
    const loss = async (values: typeof host) => {
      const [out, weight] = [await run(values).out.data(), await g.data()]
      return (out as Float64Array).reduce((sum, x, i) => sum + x * weight[i], 0)
    }
    const { t, out } = run(host)
    backward(out, g)
    for (const [name, { shape, data }] of Object.entries(host)) {
      const gradient = await (t[name].grad as Tensor).data()
      for (const at of [0, 7, data.length - 1]) {
        const h = 1e-5
        const moved = (by: number) => {
          const copy = Float64Array.from(data)
          copy[at] += by
          return loss({ ...host, [name]: { shape, data: copy } })
        }
        const slope = ((await moved(h)) - (await moved(-h))) / (2 * h)
        expect(Math.abs(gradient[at] - slope), `${name}[${at}]`).toBeLessThan(1e-8)
      }
    }
  })

  it.each(['top-left', 'bottom-right'] as const)('a packed batch is its samples apart, causal %s', async causal => {
    const [queries, keys] = [
      [3, 0, 4, 2],
      [5, 2, 6, 0],
    ]
    const offsets = (counts: number[]) => {
      const starts = counts.map((_, s) => counts.slice(0, s).reduce((a, b) => a + b, 0))
      return device.tensor(Int32Array.of(...starts, starts[3] + counts[3]), [5])
    }
    const [q, k, v] = [random([1, 9, 2, 4], 1, false), random([1, 13, 2, 4], 2, false), random([1, 13, 2, 4], 3, false)]
    const keyLengths = device.tensor(Int32Array.of(5, 2, 4, 0), [4])
    const packed = { query: offsets(queries), key: offsets(keys) }
    const out = await attention(q, k, v, { kernel, causal, offsets: packed, keyLengths }).data()
    let [query, key] = [0, 0]
    for (const [s, n] of queries.entries()) {
      const part = (x: Tensor, first: number, count: number) => slice(x, 1, first, first + count)
      const apart = attention(part(q, query, n), part(k, key, keys[s]), part(v, key, keys[s]), {
        kernel,
        causal,
        keyMask: device.tensor(
          Uint8Array.from({ length: keys[s] }, (_, j) => Number(j < [5, 2, 4, 0][s])),
          [1, keys[s]],
        ),
      })
      const expected = (await apart.data()) as Float64Array
      expected.forEach((x, i) => {
        expect(Math.abs((out[query * 8 + i] as number) - x)).toBeLessThan(1e-14)
      })
      query += n
      key += keys[s]
    }
  })

  it('lengths are masks of a leading part', async () => {
    const [q, k, v] = [random([2, 3, 2, 4], 1, false), random([2, 5, 2, 4], 2, false), random([2, 5, 2, 4], 3, false)]
    const [keyLengths, queryLengths] = [
      [3, 0],
      [2, 3],
    ].map(n => device.tensor(Int32Array.from(n), [2]))
    const keyMask = device.tensor(Uint8Array.of(1, 1, 1, 0, 0, 0, 0, 0, 0, 0), [2, 5])
    const queryMask = device.tensor(Uint8Array.of(1, 1, 0, 1, 1, 1), [2, 3])
    const byLength = attention(q, k, v, { kernel, keyLengths, queryLengths, causal: 'bottom-right' })
    const byMask = attention(q, k, v, { kernel, keyMask, queryMask, causal: 'bottom-right' })
    expect(await byLength.data()).toEqual(await byMask.data())
  })

  it('gives 0 and gradient 0 to a query that may attend to nothing, and reads nothing of it', async () => {
    const bad = Float64Array.from(hostNormal(rngKey(1), 24)).fill(Number.NaN, 8, 16)
    const q = device.tensor(bad, [1, 3, 2, 4], { requiresGrad: true })
    const [k, v] = [random([1, 4, 2, 4], 2), random([1, 4, 2, 4], 3)]
    const out = attention(q, k, v, { kernel, queryMask: device.tensor(Uint8Array.of(1, 0, 1), [1, 3]) })
    expect([...(await out.data()).subarray(8, 16)]).toEqual(new Array(8).fill(0))
    const g = Float64Array.from(hostNormal(rngKey(4), 24)).fill(Number.NaN, 8, 16)
    backward(out, device.tensor(g, [1, 3, 2, 4]))
    expect([...(await (q.grad as Tensor).data()).subarray(8, 16)]).toEqual(new Array(8).fill(0))
    for (const x of [q, k, v]) expect([...(await (x.grad as Tensor).data())].every(Number.isFinite)).toBe(true)
  })

  it('reads packed projections in place, and writes their gradients as one', async () => {
    const [qkv, g] = [random([2, 5, 3, 2, 4], 1), random([2, 5, 2, 4], 2, false)]
    const out = packedAttention(qkv, { kernel })
    backward(out, g)
    const part = (i: number) => reshape(slice(qkv, 2, i, i + 1), [2, 5, 2, 4])
    const separate = attention(part(0), part(1), part(2), { kernel })
    expect(await out.data()).toEqual(await separate.data())
    const packed = qkv.grad
    qkv.grad = undefined
    backward(separate, g)
    expect(await packed?.data()).toEqual(await (qkv.grad as unknown as Tensor).data())
  })

  it('reads a packed key and value in place, and writes their gradient as one', async () => {
    const [q, kv, g] = [random([2, 3, 2, 4], 5), random([2, 5, 2, 2, 4], 6), random([2, 3, 2, 4], 7, false)]
    const out = packedCrossAttention(q, kv, { kernel })
    backward(out, g)
    const part = (i: number) => reshape(slice(kv, 2, i, i + 1), [2, 5, 2, 4])
    const separate = attention(q, part(0), part(1), { kernel })
    expect(await out.data()).toEqual(await separate.data())
    const packed = kv.grad
    kv.grad = undefined
    backward(separate, g)
    expect(await packed?.data()).toEqual(await (kv.grad as unknown as Tensor).data())
  })

  it('leaves no tensor behind', async () => {
    const [qkv, g] = [random([2, 5, 3, 2, 4], 1), random([2, 5, 2, 4], 2, false)]
    const bias = random([5, 5], 3)
    const before = device.memory()
    const out = packedAttention(qkv, { kernel, causal: true, bias, dropout: 0.5, rng: rngKey(1) })
    backward(out, g)
    out.dispose()
    for (const leaf of [qkv, bias]) leaf.grad?.dispose()
    const { liveTensors, liveBytes } = device.memory()
    expect({ liveTensors, liveBytes }).toEqual({ liveTensors: before.liveTensors, liveBytes: before.liveBytes })
  })
})

it('attentionWeights sum to 1 in every row that attends to something', async () => {
  const [q, k] = [random([1, 3, 1, 4], 1), random([1, 4, 1, 4], 2)]
  const mask = device.tensor(Uint8Array.of(1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1), [3, 4])
  const weights = [...(await attentionWeights(q, k, { mask }).data())] as number[]
  const sums = [0, 1, 2].map(i => weights.slice(4 * i, 4 * i + 4).reduce((a, b) => a + b))
  expect(sums[0]).toBeCloseTo(1, 14)
  expect(sums[1]).toBe(0)
  expect(sums[2]).toBeCloseTo(1, 14)
})

it('standard lets no value of an excluded pair through, NaN and Infinity included', async () => {
  // Key 2 holds NaN and only query 1 may see it.
  const mask = device.tensor(Uint8Array.of(1, 1, 0, 1, 1, 1, 0, 1, 0), [3, 3])
  const draw = (seed: number, at?: number) => {
    const data = Float64Array.from(hostNormal(rngKey(seed), 12))
    if (at !== undefined) data.fill(at, 8)
    return device.tensor(data, [1, 3, 1, 4], { requiresGrad: true })
  }
  const g = draw(9)
  const run = async (bad?: number) => {
    const [q, k, v] = [draw(1), draw(2, bad), draw(3, bad)]
    const out = attention(q, k, v, { mask, kernel: 'standard' })
    backward(out, g)
    return [await out.data(), await (q.grad as Tensor).data()]
  }
  const right = await run()
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const got = await run(bad)
    got.forEach((data, i) => {
      for (const row of [0, 2]) {
        expect(data.slice(4 * row, 4 * row + 4)).toEqual(right[i].slice(4 * row, 4 * row + 4))
      }
    })
    expect([...got[0].slice(4, 8)].every(Number.isNaN)).toBe(true)
  }
})

it('a gradient is computed for those who want one, and for nobody else', async () => {
  const [q, k, v] = [random([1, 3, 1, 4], 1, false), random([1, 5, 1, 4], 2, true), random([1, 5, 1, 4], 3, false)]
  backward(attention(q, k, v), random([1, 3, 1, 4], 4, false))
  expect([q.grad, v.grad]).toEqual([undefined, undefined])
  expect(k.grad?.shape).toEqual([1, 5, 1, 4])
  expect(attention(q, q, q).requiresGrad).toBe(false)
})

it('grad of one factor alone is the same as beside all others', async () => {
  const [q, k, v] = [random([1, 3, 1, 4], 1), random([1, 5, 1, 4], 2), random([1, 5, 1, 4], 3)]
  const factoredBias = { query: random([1, 3, 1, 2], 4), key: random([1, 5, 1, 2], 5) }
  const g = random([1, 3, 1, 4], 6, false)
  backward(attention(q, k, v, { factoredBias }), g)
  const [alone] = grad(attention(q, k, v, { factoredBias }), [factoredBias.key], g)
  expect(await alone.data()).toEqual(await factoredBias.key.grad?.data())
})
