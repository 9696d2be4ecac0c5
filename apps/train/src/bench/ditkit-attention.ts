// ditkit's attention, with or without gradients.

import {
  type AttentionOptions,
  attention,
  backward,
  type Device,
  noGrad,
  normal,
  rngKey,
  scope,
  type Tensor,
} from '@ditkit/core'
import type { Work } from './ditkit-subject'
import type { AttentionProblem } from './problem'

export function attentionWork(device: Device, problem: AttentionProblem): Work {
  const { batch, heads, queries, keys, dim, backward: withGradients } = problem
  const [a, b, c, d] = rngKey(0).split(4)
  const q = normal(device, [batch, queries, heads, dim], a)
  const k = normal(device, [batch, keys, heads, dim], b)
  const v = normal(device, [batch, keys, heads, dim], c)
  const upstream = normal(device, [batch, queries, heads, dim], d)
  const { options, bias } = optionsOf(device, problem, rngKey(2))
  const leaves = [q, k, v, ...bias]
  for (const leaf of leaves) leaf.requiresGrad = withGradients
  const once = () => {
    if (!withGradients) {
      scope(() => void noGrad(() => attention(q, k, v, options)))
      return
    }
    scope(() => backward(attention(q, k, v, options), upstream))
    for (const leaf of leaves) {
      leaf.grad?.dispose()
      leaf.grad = undefined
    }
  }
  const elements = q.size + (withGradients ? leaves.reduce((sum, leaf) => sum + leaf.size, 0) : 0)
  return {
    enqueue(times) {
      for (let i = 0; i < times; i++) once()
    },
    resultBytes: 4 * elements,
  }
}

/** The options, and those tensors among them that take part in gradients. */
function optionsOf(
  device: Device,
  problem: AttentionProblem,
  key: ReturnType<typeof rngKey>,
): { options: AttentionOptions; bias: Tensor[] } {
  const { batch, heads, queries, keys, bias, rank = 8, lengths } = problem
  const keyLengths = lengths && { keyLengths: device.tensor(Int32Array.from(lengths), [batch]) }
  const [first, second] = key.split(2)
  if (bias === 'none') return { options: { ...keyLengths }, bias: [] }
  if (bias === 'dense') {
    const dense = normal(device, [1, 1, queries, keys], first)
    return { options: { ...keyLengths, bias: dense }, bias: [dense] }
  }
  const pairs = bias === 'shared factors' ? 1 : heads
  const factoredBias = {
    query: normal(device, [1, queries, pairs, rank], first),
    key: normal(device, [1, keys, pairs, rank], second),
  }
  return { options: { ...keyLengths, factoredBias }, bias: [factoredBias.query, factoredBias.key] }
}
