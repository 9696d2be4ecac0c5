// What factors are for: nothing of the size Lq × Lk is allocated, forward or backward, nor beside a bias that is factorized.

import { cpu } from '@ditkit/backend-cpu'
import { attention, backward, type Device, normal, rngKey, scope, type Tensor } from '@ditkit/core'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { addFactors, factorize, segmentFactors, squaredDistanceFactors } from '../src'

let device: Device
beforeEach(async () => {
  device = await cpu()
})
afterEach(() => device.dispose())

const bytes = (tensors: readonly Tensor[]) => tensors.reduce((sum, t) => sum + 4 * t.size, 0)

it('attention with factors needs less than an eighth of what the dense bias and its gradient take, all gradients included', async () => {
  const [batch, queries, keys, heads, dim] = [2, 900, 12_000, 4, 16]
  const shapes = [
    [batch, queries, heads, dim],
    [batch, keys, heads, dim],
    [batch, keys, heads, dim],
    [batch, queries, 3],
    [batch, keys, 3],
    [heads],
    [batch, queries, 2],
  ]
  const leaves = shapes.map((shape, i) => normal(device, shape, rngKey(i), { requiresGrad: true }))
  const [q, k, v, x, y, scale, weights] = leaves
  const dOut = normal(device, q.shape, rngKey(9))
  await device.sync()
  const { liveBytes } = device.memory()
  scope(() => {
    const distance = squaredDistanceFactors(x, y, { scale })
    const factoredBias = addFactors(distance, segmentFactors(weights, [10_000, 2000]))
    backward(attention(q, k, v, { factoredBias }), dOut)
  })
  await device.sync()
  const { peakBytes, workspaceBytes } = device.memory()
  // Beside the inputs: the output, and a gradient for every leaf.
  const extra = peakBytes + workspaceBytes - liveBytes - bytes([dOut, ...leaves])
  const dense = 2 * 4 * batch * queries * keys
  expect(leaves.every(leaf => leaf.grad)).toBe(true)
  expect(extra / dense).toBeLessThan(1 / 8)
})

it('factorize copies nothing of the size of the bias', async () => {
  const [queries, keys] = [400, 30_000]
  const bias = normal(device, [queries, keys], rngKey(1))
  await device.sync()
  const before = device.memory()
  const result = await factorize(bias, { maxRank: 8 })
  expect(result.kind).toBe('factored')
  const after = device.memory()
  const extra = after.peakBytes - before.liveBytes + after.workspaceBytes - before.workspaceBytes
  expect(extra / (4 * queries * keys)).toBeLessThan(0.5)
})
