// Attention with factors on the fast device, in f32, against the dense bias in float64: its output and all gradients.

import { cpu } from '@ditkit/backend-cpu'
import {
  add,
  attention,
  backward,
  type Device,
  hostNormal,
  mul,
  neg,
  reference,
  reshape,
  rngKey,
  square,
  sub,
  sum,
  type Tensor,
  unsqueeze,
} from '@ditkit/core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { addFactors, denseBias, segmentFactors, squaredDistanceFactors } from '../src'

let f32: Device
let f64: Device
beforeAll(async () => {
  f32 = await cpu()
  f64 = await reference({ dtype: 'f64' })
})
afterAll(() => {
  f32.dispose()
  f64.dispose()
})

const SIZES: [number, number][] = [
  [1, 7],
  [59, 147],
  [147, 59],
  [7, 587],
]

it.each(SIZES)('distances and segment weights, %d × %d: to 1e-5', async (queries, keys) => {
  const heads = 2
  const shapes = [
    [2, queries, heads, 8],
    [2, keys, heads, 8],
    [2, keys, heads, 8],
    [2, queries, 3],
    [2, keys, 3],
    [heads],
    [2, queries, heads, 2],
  ]
  // Values that both devices hold exactly; points lie away from the origin.
  const values = shapes.map((shape, i) =>
    Float32Array.from(
      hostNormal(
        rngKey(i),
        shape.reduce((a, b) => a * b),
      ),
      x => (i === 3 || i === 4 ? 20 + x : x),
    ),
  )
  const lengths = [Math.ceil(keys / 2), Math.floor(keys / 2)]
  const run = (device: Device, factored: boolean) => {
    const leaves = shapes.map((shape, i) => device.tensor(values[i], shape, { requiresGrad: true }))
    const [q, k, v, x, y, scale, weights] = leaves
    const segments = segmentFactors(weights, lengths)
    const bias = () => {
      const distance = neg(sum(square(sub(unsqueeze(x, 2), unsqueeze(y, 1))), 3))
      return add(mul(unsqueeze(distance, 1), reshape(scale, [1, heads, 1, 1])), denseBias(segments))
    }
    const out = factored
      ? attention(q, k, v, { factoredBias: addFactors(squaredDistanceFactors(x, y, { scale }), segments) })
      : attention(q, k, v, { bias: bias() })
    backward(out, device.tensor(Float32Array.from(hostNormal(rngKey(50), out.size)), out.shape))
    return [out, ...leaves.map(leaf => leaf.grad as Tensor)]
  }
  const [actual, expected] = [run(f32, true), run(f64, false)]
  for (const [i, tensor] of expected.entries()) {
    const [a, e] = [await actual[i].data(), await tensor.data()]
    let [worst, largest] = [0, 0]
    for (let n = 0; n < e.length; n++) {
      worst = Math.max(worst, Math.abs(a[n] - e[n]))
      largest = Math.max(largest, Math.abs(e[n]))
    }
    expect(worst / largest, ['out', 'q', 'k', 'v', 'x', 'y', 'scale', 'weights'][i]).toBeLessThan(1e-5)
  }
})
