// A DiT for peers that are npm packages, written once over the few ops that both have: { add, mul, sub, matmul(a, b, transposeB),
// reshape, transpose, slice(x, i) along axis 0, softmax, mean and square along the last axis (kept), rsqrt, tanh, sigmoid }.
// The shapes are those of ditkit's side; images come as patches and labels as one-hot rows, prepared on the host.

import { Cannot, pseudoNormal } from './serve.mjs'

const TIME_CHANNELS = 256

/** [name, shape] of every parameter; weights are [in, out]. */
function shapesOf({ patch, channels, width, depth, classes }) {
  const pixels = patch * patch * channels
  const linear = (name, from, to) => [
    [`${name}.w`, [from, to]],
    [`${name}.b`, [to]],
  ]
  const block = i => [
    ...linear(`${i}.modulation`, width, 6 * width),
    ...linear(`${i}.qkv`, width, 3 * width),
    ...linear(`${i}.proj`, width, width),
    ...linear(`${i}.fc1`, width, 4 * width),
    ...linear(`${i}.fc2`, 4 * width, width),
  ]
  return [
    ...linear('embed', pixels, width),
    ...linear('time1', TIME_CHANNELS, width),
    ...linear('time2', width, width),
    ['labels', [classes + 1, width]],
    ...Array.from({ length: depth }, (_, i) => block(i)).flat(),
    ...linear('modulation', width, 2 * width),
    ...linear('out', width, pixels),
  ]
}

/**
 * Throws Cannot where WebAssembly's 4 GB cannot hold what backward needs of all blocks. Of one block and sample of DiT-S, tfjs keeps
 * 91 MB and jax-js 49: here counted as 160 values per token and channel and 17 per score, from which parameters and their states are left out.
 */
export function refuseTooLarge({ batch, size, patch, width, depth, heads }) {
  const tokens = (size / patch) ** 2
  const bytes = 4 * depth * batch * tokens * (160 * width + 17 * heads * tokens)
  if (bytes <= 2 ** 32) return
  throw new Cannot(`backward needs about ${(bytes / 1e9).toFixed(0)} GB at this size, and WebAssembly has at most 4.3`)
}

/** [{ name, shape, data }]; small random numbers, so that no gradient is zero. */
export function parametersOf(problem) {
  return shapesOf(problem).map(([name, shape], i) => {
    const data = pseudoNormal(
      shape.reduce((a, b) => a * b, 1),
      i + 1,
    )
    return { name, shape, data: data.map(value => value * 0.05) }
  })
}

/** Host data of one batch: { x, target } [B · N, pixels], { time } [B, 256], { labels } one-hot [B, K + 1], { positions } [N, C]. */
export function batchOf({ batch, size, patch, channels, classes, width }) {
  const tokens = (size / patch) ** 2
  const pixels = patch * patch * channels
  const time = new Float32Array(batch * TIME_CHANNELS)
  const labels = new Float32Array(batch * (classes + 1))
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < TIME_CHANNELS / 2; i++) {
      const angle = ((997 * b + 37.5) % 1000) * Math.exp((-Math.log(10000) * i) / (TIME_CHANNELS / 2))
      time[b * TIME_CHANNELS + i] = Math.cos(angle)
      time[b * TIME_CHANNELS + TIME_CHANNELS / 2 + i] = Math.sin(angle)
    }
    labels[b * (classes + 1) + ((7 * b) % classes)] = 1
  }
  return {
    x: { shape: [batch * tokens, pixels], data: pseudoNormal(batch * tokens * pixels, 101) },
    target: { shape: [batch * tokens, pixels], data: pseudoNormal(batch * tokens * pixels, 102) },
    time: { shape: [batch, TIME_CHANNELS], data: time },
    labels: { shape: [batch, classes + 1], data: labels },
    positions: { shape: [1, tokens, width], data: pseudoNormal(tokens * width, 103) },
  }
}

/** The mean squared error, a scalar; `p` are the parameters by name and `inputs` what batchOf gave, as the peer's tensors. */
export function lossOf(ops, problem, p, inputs) {
  const { batch, size, patch, width, depth, heads } = problem
  const tokens = (size / patch) ** 2
  const { add, sub, mul, matmul, reshape, transpose, slice } = ops
  const linear = (name, x) => add(matmul(x, p[`${name}.w`], false), p[`${name}.b`])
  const silu = x => mul(x, ops.sigmoid(x))
  const gelu = x => {
    const inner = mul(add(x, mul(mul(mul(x, x), x), 0.044715)), Math.sqrt(2 / Math.PI))
    return mul(mul(x, 0.5), add(ops.tanh(inner), 1))
  }
  const flat = x => reshape(x, [batch * tokens, -1])
  const modulations = (name, c, parts) => {
    const packed = reshape(linear(name, silu(c)), [batch, parts, width])
    const byPart = transpose(packed, [1, 0, 2])
    return Array.from({ length: parts }, (_, i) => reshape(slice(byPart, i), [batch, 1, width]))
  }
  const normed = (x, shift, scale) => {
    const centred = sub(x, ops.mean(x))
    const normal = mul(centred, ops.rsqrt(add(ops.mean(mul(centred, centred)), 1e-6)))
    return add(mul(normal, add(scale, 1)), shift)
  }
  const attention = x => {
    const dim = width / heads
    const qkv = reshape(linear2(x, 'qkv'), [batch, tokens, 3, heads, dim])
    const parts = reshape(transpose(qkv, [2, 0, 3, 1, 4]), [3, batch * heads, tokens, dim])
    const scores = mul(matmul(slice(parts, 0), slice(parts, 1), true), 1 / Math.sqrt(dim))
    const mixed = matmul(ops.softmax(scores), slice(parts, 2), false)
    return transpose(reshape(mixed, [batch, heads, tokens, dim]), [0, 2, 1, 3])
  }
  let block = 0
  const linear2 = (x, name) => linear(`${block}.${name}`, flat(x))
  const tokensOf = x => reshape(x, [batch, tokens, width])

  const c = add(linear('time2', silu(linear('time1', inputs.time))), matmul(inputs.labels, p.labels, false))
  let h = add(tokensOf(linear('embed', inputs.x)), inputs.positions)
  for (; block < depth; block++) {
    const [shift1, scale1, gate1, shift2, scale2, gate2] = modulations(`${block}.modulation`, c, 6)
    const attended = attention(normed(h, shift1, scale1))
    h = add(h, mul(gate1, tokensOf(linear2(attended, 'proj'))))
    const hidden = gelu(linear2(normed(h, shift2, scale2), 'fc1'))
    h = add(h, mul(gate2, tokensOf(linear2(hidden, 'fc2'))))
  }
  const [shift, scale] = modulations('modulation', c, 2)
  const error = sub(linear('out', flat(normed(h, shift, scale))), inputs.target)
  return ops.meanOfAll(mul(error, error))
}

export const ADAM = { lr: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: 0.01, maxNorm: 1 }
