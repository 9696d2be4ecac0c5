// Results do not depend on the number of threads, bit for bit: two training steps made of every fused op, and what else is split over
// threads, on every instruction set and in both compute dtypes. Points and elementwise programs have their own such tests.

import {
  adamwStep,
  argmax,
  backward,
  type ComputeDType,
  concat,
  createDevice,
  crossEntropy,
  type Device,
  dropout,
  embedding,
  hostNormal,
  layerNorm,
  linear,
  matmul,
  max,
  mlp,
  modulatedLayerNorm,
  mseLoss,
  packedAttention,
  permute,
  quantile,
  reshape,
  rmsNorm,
  rngKey,
  scatterAdd,
  scope,
  scopeAsync,
  sum,
  type Tensor,
  variance,
} from '@ditkit/core'
import { describe, expect, test } from 'vitest'
import { loadAddon } from '../src/native'
import { open } from './operands'

const [BATCH, TOKENS, CHANNELS, HEADS, CLASSES] = [2, 300, 192, 3, 59]
const SCALARS = { lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, emaDecay: 0.99, maxNorm: 1 }

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1)
const values = new Map<number, Float32Array>()
function drawn(device: Device, seed: number, ...shape: number[]): Tensor {
  const known = values.get(seed) ?? Float32Array.from(hostNormal(rngKey(seed), size(shape)))
  values.set(seed, known)
  return device.tensor(known, shape)
}
const indices = (device: Device, count: number, below: number) =>
  device.tensor(
    Int32Array.from({ length: count }, (_, i) => (7919 * i) % below),
    [count],
  )

const SHAPES = {
  table: [CLASSES, CHANNELS],
  modulation: [BATCH, 6, CHANNELS],
  qkv: [3 * CHANNELS, CHANNELS],
  proj: [CHANNELS, CHANNELS],
  projBias: [CHANNELS],
  fc1: [4 * CHANNELS, CHANNELS],
  fc1Bias: [4 * CHANNELS],
  fc2: [CHANNELS, 4 * CHANNELS],
  fc2Bias: [CHANNELS],
  normWeight: [CHANNELS],
  normBias: [CHANNELS],
  rmsWeight: [CHANNELS],
  head: [CLASSES, CHANNELS],
}
type Parameters = Record<keyof typeof SHAPES, Tensor>

/** A DiT's block between an embedding and two losses. */
function lossOf(device: Device, p: Parameters, computeDtype: ComputeDType): Tensor {
  const labels = indices(device, BATCH * TOKENS, CLASSES)
  const x = reshape(embedding(p.table, labels), [BATCH, TOKENS, CHANNELS])
  const first = linear(modulatedLayerNorm(x, p.modulation, 0, 1), p.qkv, undefined, { computeDtype })
  const keyLengths = device.tensor([TOKENS, 147], [BATCH], { dtype: 'i32' })
  const attended = packedAttention(reshape(first, [BATCH, TOKENS, 3, HEADS, CHANNELS / HEADS]), {
    ...{ keyLengths, dropout: 0.1, rng: rngKey(8), computeDtype },
  })
  const mixed = linear(reshape(attended, [BATCH, TOKENS, CHANNELS]), p.proj, p.projBias, {
    into: { residual: x, modulation: p.modulation, gateIndex: 2 },
    computeDtype,
  })
  const fc1 = { weight: p.fc1, bias: p.fc1Bias }
  const out = mlp(
    modulatedLayerNorm(mixed, p.modulation, 3, 4),
    fc1,
    { weight: p.fc2, bias: p.fc2Bias },
    { into: { residual: mixed, modulation: p.modulation, gateIndex: 5 }, computeDtype },
  )
  const normal = rmsNorm(dropout(layerNorm(out, { weight: p.normWeight, bias: p.normBias }), 0.2, rngKey(9)), {
    weight: p.rmsWeight,
  })
  const logits = reshape(linear(normal, p.head), [BATCH * TOKENS, CLASSES])
  const target = drawn(device, 77, BATCH, TOKENS, CHANNELS)
  return sum(concat([reshape(mseLoss(normal, target), [1]), reshape(crossEntropy(logits, labels), [1])], 0))
}

/** Loss, weights, moments and averages of two steps, and other splits of work. */
function everything(device: Device, computeDtype: ComputeDType): Tensor[] {
  const state = Object.entries(SHAPES).map(([name, shape], i) => {
    const parameter = drawn(device, i, ...shape)
    parameter.requiresGrad = true
    const [firstMoment, secondMoment, average] = [device.zeros(shape), device.zeros(shape), drawn(device, i, ...shape)]
    return { name, parameter, firstMoment, secondMoment, average }
  })
  const parameters = Object.fromEntries(state.map(({ name, parameter }) => [name, parameter])) as Parameters
  const results: Tensor[] = []
  for (let step = 1; step <= 2; step++) {
    const loss = lossOf(device, parameters, computeDtype)
    backward(loss)
    const updates = state.map(entry => ({ ...entry, gradient: entry.parameter.grad as Tensor }))
    results.push(loss, adamwStep(updates, { ...SCALARS, step }))
    for (const { parameter } of state) {
      parameter.grad?.dispose()
      parameter.grad = undefined
    }
  }
  const tall = drawn(device, 30, 40_000, 7)
  const cube = drawn(device, 31, 40, 59, 147)
  return [
    ...[...results, ...state.flatMap(({ parameter, firstMoment, average }) => [parameter, firstMoment, average])],
    ...[sum(tall, 0), sum(tall), variance(tall, 0), max(tall, 0), quantile(sum(tall, 1), 0.3), argmax(cube)],
    ...[sum(cube, [0, 2]), reshape(permute(cube, [2, 0, 1]), [147, 40 * 59])],
    scatterAdd(device.zeros([31, 7]), indices(device, 40_000, 31), tall),
    // Few results of many terms; many small products; transposed operands.
    matmul(permute(tall, [1, 0]), tall, { computeDtype }),
    matmul(cube, permute(cube, [0, 2, 1]), { computeDtype }),
    matmul(drawn(device, 32, 1, 2048), drawn(device, 33, 2048, 587), { computeDtype }),
  ]
}

async function bytesWith(isa: string, threads: number, computeDtype: ComputeDType): Promise<string[]> {
  const device = createDevice(open(isa, threads))
  const bytes = await scopeAsync(async s => {
    const results = s.run(() => scope(() => everything(device, computeDtype)))
    const read: string[] = []
    for (const result of results) read.push(Buffer.from((await result.data()).slice().buffer).toString('base64'))
    return read
  })
  device.dispose()
  return bytes
}

describe.each(loadAddon().describe())('on %s', isa => {
  test.each(['f32', 'bf16'] as const)(
    '1, 2, 3 and 5 threads give the same bits, computing in %s',
    async computeDtype => {
      const one = await bytesWith(isa, 1, computeDtype)
      const [loss] = new Float32Array(Uint8Array.from(Buffer.from(one[0], 'base64')).buffer)
      expect(loss).toBeGreaterThan(0)
      for (const threads of [2, 3, 5]) {
        const several = await bytesWith(isa, threads, computeDtype)
        expect(several.map((bytes, i) => bytes === one[i])).toEqual(one.map(() => true))
      }
    },
  )
})
