// A scene's attention, 8 heads of 900 queries over 56,400 keys, against float64: chosen rows in full, chosen keys of one head over all queries.

import {
  type AttentionOptions,
  attention,
  backward,
  type Device,
  normal,
  type RngKey,
  rngKey,
  scope,
  scopeAsync,
  type Tensor,
} from '@ditkit/core'
import { describe, expect, test } from 'vitest'
import { cpu } from '../src/index'

const [HEADS, QUERIES, KEYS, DIM, RANK] = [8, 900, 56_400, 32, 8]
const SCALE = 1 / Math.sqrt(DIM)
const ROWS = [0, 450, 899]
const HEAD = 5
const CHOSEN_KEYS = [0, 513, 28_000, 56_399]
const BOUND = 1e-5

type Values = Record<string, Float32Array>

type Bias = 'dense' | 'shared factors' | 'factors per head'

function inputsOf(device: Device, bias: Bias) {
  const keys = rngKey(7).split(6)
  const leaves: Record<string, Tensor> = {}
  const leaf = (name: string, shape: number[], key: RngKey) => {
    leaves[name] = normal(device, shape, key)
    leaves[name].requiresGrad = true
    return leaves[name]
  }
  const [q, k] = [leaf('q', [1, QUERIES, HEADS, DIM], keys[0]), leaf('k', [1, KEYS, HEADS, DIM], keys[1])]
  const v = leaf('v', [1, KEYS, HEADS, DIM], keys[2])
  const heads = bias === 'shared factors' ? 1 : HEADS
  const options: AttentionOptions =
    bias === 'dense'
      ? { bias: leaf('bias', [1, 1, QUERIES, KEYS], keys[4]) }
      : {
          factoredBias: {
            query: leaf('factorQuery', [1, QUERIES, heads, RANK], keys[4]),
            key: leaf('factorKey', [1, KEYS, heads, RANK], keys[5]),
          },
        }
  const upstream = normal(device, [1, QUERIES, HEADS, DIM], keys[3])
  return { leaves, upstream, forward: () => attention(q, k, v, { ...options, kernel: 'cpu-flash' }) }
}

/** Inputs, result and gradients (`d q` …) of one call. */
async function run(bias: Bias): Promise<Values> {
  const device = await cpu()
  const values = await scopeAsync(async s => {
    const { leaves, upstream, out } = s.run(() => {
      const { forward, ...inputs } = inputsOf(device, bias)
      const out = forward()
      backward(out, inputs.upstream)
      return { ...inputs, out }
    })
    const values: Values = {
      out: (await out.data()) as Float32Array,
      upstream: (await upstream.data()) as Float32Array,
    }
    for (const [name, tensor] of Object.entries(leaves)) {
      values[name] = (await tensor.data()) as Float32Array
      values[`d ${name}`] = (await (tensor.grad as Tensor).data()) as Float32Array
    }
    return values
  })
  device.dispose()
  return values
}

/** What forward and backward take beside inputs, result and gradients. */
async function workingBytes(bias: Bias): Promise<number> {
  const device = await cpu({ threads: 2 })
  const { leaves, upstream, forward } = scope(() => inputsOf(device, bias))
  await device.sync()
  const before = device.memory().liveBytes
  const out = forward()
  backward(out, upstream)
  await device.sync()
  const results = [out, ...Object.values(leaves)].reduce((sum, { size }) => sum + 4 * size, 0)
  const { peakBytes, workspaceBytes } = device.memory()
  device.dispose()
  return peakBytes - before - results + workspaceBytes
}

const at = (n: number, h: number, width: number) => (n * HEADS + h) * width

function dot(a: Float32Array, i: number, b: ArrayLike<number>, j: number, width: number): number {
  let sum = 0
  for (let d = 0; d < width; d++) sum += a[i + d] * b[j + d]
  return sum
}

function addScaled(sums: Float64Array, from: Float32Array, offset: number, factor: number): void {
  for (let d = 0; d < sums.length; d++) sums[d] += factor * from[offset + d]
}

/** The weights of one row of one head. */
function weightsOf({ q, k, bias, factorQuery, factorKey }: Values, i: number, h: number): Float64Array {
  const weights = new Float64Array(KEYS)
  let most = Number.NEGATIVE_INFINITY
  for (let j = 0; j < KEYS; j++) {
    const added = bias ? bias[i * KEYS + j] : dot(factorQuery, at(i, h, RANK), factorKey, at(j, h, RANK), RANK)
    weights[j] = SCALE * dot(q, at(i, h, DIM), k, at(j, h, DIM), DIM) + added
    most = Math.max(most, weights[j])
  }
  let sum = 0
  for (let j = 0; j < KEYS; j++) {
    weights[j] = Math.exp(weights[j] - most)
    sum += weights[j]
  }
  for (let j = 0; j < KEYS; j++) weights[j] /= sum
  return weights
}

function resultOf({ v }: Values, weights: Float64Array, h: number): Float64Array {
  const out = new Float64Array(DIM)
  for (let j = 0; j < KEYS; j++) addScaled(out, v, at(j, h, DIM), weights[j])
  return out
}

/** The largest error of a part of a tensor, over the tensor's largest entry. */
function expectClose(name: string, whole: Float32Array, offset: number, right: ArrayLike<number>): void {
  let [largest, error] = [0, 0]
  for (let i = 0; i < whole.length; i++) largest = Math.max(largest, Math.abs(whole[i]))
  for (let i = 0; i < right.length; i++) error = Math.max(error, Math.abs(whole[offset + i] - right[i]))
  expect(error / largest, `${name} at ${offset}`).toBeLessThan(BOUND)
}

function expectRows(values: Values): void {
  for (const i of ROWS) {
    const dBias = new Float64Array(KEYS)
    for (let h = 0; h < HEADS; h++) {
      const weights = weightsOf(values, i, h)
      const out = resultOf(values, weights, h)
      expectClose('out', values.out, at(i, h, DIM), out)
      const mean = dot(values.upstream, at(i, h, DIM), out, 0, DIM)
      const [dq, dFactor] = [new Float64Array(DIM), new Float64Array(RANK)]
      for (let j = 0; j < KEYS; j++) {
        const dScore = weights[j] * (dot(values.upstream, at(i, h, DIM), values.v, at(j, h, DIM), DIM) - mean)
        addScaled(dq, values.k, at(j, h, DIM), SCALE * dScore)
        if (values.bias) dBias[j] += dScore
        else addScaled(dFactor, values.factorKey, at(j, h, RANK), dScore)
      }
      expectClose('dq', values['d q'], at(i, h, DIM), dq)
      if (!values.bias) expectClose('d factorQuery', values['d factorQuery'], at(i, h, RANK), dFactor)
    }
    if (values.bias) expectClose('d bias', values['d bias'], i * KEYS, dBias)
  }
}

function expectKeys(values: Values): void {
  const sums = CHOSEN_KEYS.map(j => ({
    j,
    dk: new Float64Array(DIM),
    dv: new Float64Array(DIM),
    dFactor: new Float64Array(RANK),
  }))
  for (let i = 0; i < QUERIES; i++) {
    const weights = weightsOf(values, i, HEAD)
    const row = at(i, HEAD, DIM)
    // The kernel's own result, which the rows check.
    const mean = dot(values.upstream, row, values.out.subarray(row), 0, DIM)
    for (const { j, dk, dv, dFactor } of sums) {
      const dScore = weights[j] * (dot(values.upstream, row, values.v, at(j, HEAD, DIM), DIM) - mean)
      addScaled(dk, values.q, row, SCALE * dScore)
      addScaled(dv, values.upstream, row, weights[j])
      if (!values.bias) addScaled(dFactor, values.factorQuery, at(i, HEAD, RANK), dScore)
    }
  }
  for (const { j, dk, dv, dFactor } of sums) {
    expectClose('dk', values['d k'], at(j, HEAD, DIM), dk)
    expectClose('dv', values['d v'], at(j, HEAD, DIM), dv)
    if (!values.bias) expectClose('d factorKey', values['d factorKey'], at(j, HEAD, RANK), dFactor)
  }
}

describe('a scene, within 1e-5 of float64', () => {
  test('with a dense bias shared over heads, and its gradient', async () => {
    const values = await run('dense')
    expectRows(values)
    expectKeys(values)
  }, 120_000)

  test('with factors per head, and the gradients of both', async () => {
    const values = await run('factors per head')
    expectRows(values)
    expectKeys(values)
  }, 120_000)
})

test.each(['shared factors', 'factors per head'] as const)('%s want less than 64 MB of their own', async bias => {
  const bytes = await workingBytes(bias)
  expect(bytes).toBeGreaterThan(0)
  expect(bytes).toBeLessThan(64e6)
})
