// What a SceneDiT promises about padding, order and batching, from the model's inputs to the loss and back, on the CPU.

import { cpu } from '@ditkit/backend-cpu'
import {
  add,
  backward,
  type Device,
  detach,
  mean,
  rngKey,
  scope,
  square,
  sub,
  type Tensor,
  unsqueeze,
  where,
} from '@ditkit/core'
import { largestError, relativeDistance } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SceneDiT, SceneDiTConfig } from '../src'
import {
  ANCHORED,
  DOUBLE_STREAM,
  disposeBatch,
  FRAME,
  type HostBatch,
  hashedSceneDiT,
  hostBatch,
  LOCATED,
  onDevice,
  outputs,
  PERCEIVER,
  POINT,
  POINTNET,
  POSE,
  WORD,
} from './scene-models'

let device: Device
beforeAll(async () => {
  device = await cpu()
})
afterAll(() => {
  expect(device.memory().liveTensors).toBe(0)
  device.dispose()
})

const T = [3.5, 700, 42]

/** Output, loss and all gradients, by name. */
async function evaluate(model: SceneDiT, host: HostBatch, t = T): Promise<Map<string, Float32Array>> {
  const batch = onDevice(device, host)
  const { x, poseMask, condition } = batch
  const [out, loss] = scope(() => {
    const { out, logits } = outputs(model, batch, t, { poseMask, key: rngKey(5) })
    const target = detach(x)
    const error = mean(square(where(unsqueeze(poseMask, 2), sub(out, target), 0)))
    const judged = logits && mean(square(where(poseMask, logits, 0)))
    const loss = judged ? add(error, judged) : error
    backward(loss)
    return [out, loss]
  })
  const tensors: [string, Tensor][] = [
    ['out', out],
    ['loss', loss],
    ['x.grad', x.grad!],
    ['points.grad', condition.points.grad!],
    ['text.grad', condition.text.grad!],
    ...Array.from(model.namedParameters(), ([name, { grad }]): [string, Tensor] => [`${name}.grad`, grad!]),
  ]
  const values = new Map<string, Float32Array>()
  for (const [name, tensor] of tensors) values.set(name, (await tensor.data()) as Float32Array)
  for (const parameter of model.parameters()) {
    parameter.grad!.dispose()
    parameter.grad = undefined
  }
  for (const tensor of [out, loss]) tensor.dispose()
  disposeBatch(batch)
  return values
}

function equalBits(got: Map<string, Float32Array>, wanted: Map<string, Float32Array>): void {
  for (const [name, values] of wanted) {
    const bits = got.get(name)!
    // Float32Arrays as bytes: −0 is not 0.
    expect(Buffer.compare(bytes(bits), bytes(values)), name).toBe(0)
  }
}

const bytes = (values: Float32Array) => Buffer.from(values.buffer, values.byteOffset, values.byteLength)

/** With `change(i)` in place of every value of what is masked out. */
function withPadding(host: HostBatch, change: (i: number) => number): HostBatch {
  const changed = (data: Float32Array, mask: Uint8Array, width: number) =>
    data.map((value, i) => (mask[Math.floor(i / width)] ? value : change(i)))
  return {
    ...host,
    x: changed(host.x, host.poseMask, POSE),
    anchors: changed(host.anchors, host.poseMask, FRAME),
    points: changed(host.points, host.pointMask, POINT),
    text: changed(host.text, host.textMask, WORD),
  }
}

/** With the points of every sample in another order, padding first. */
function shuffled(host: HostBatch): HostBatch {
  const { points: count } = host.sizes
  const from = (i: number) => {
    const sample = Math.floor(i / count)
    return sample * count + (((i % count) * 7 + count - 1) % count)
  }
  return {
    ...host,
    points: host.points.map((_, i) => host.points[from(Math.floor(i / POINT)) * POINT + (i % POINT)]),
    pointMask: host.pointMask.map((_, i) => host.pointMask[from(i)]),
  }
}

/** One sample, with as many padded points and words less as asked. */
function alone(host: HostBatch, sample: number, fewerPoints: number, fewerTokens: number): HostBatch {
  const { poses, points, tokens } = host.sizes
  const part = <A extends Float32Array | Uint8Array>(data: A, each: number, kept: number) =>
    data.slice(sample * each, sample * each + kept) as A
  const [p, l] = [points - fewerPoints, tokens - fewerTokens]
  return {
    x: part(host.x, poses * POSE, poses * POSE),
    anchors: part(host.anchors, poses * FRAME, poses * FRAME),
    points: part(host.points, points * POINT, p * POINT),
    text: part(host.text, tokens * WORD, l * WORD),
    poseMask: part(host.poseMask, poses, poses),
    pointMask: part(host.pointMask, points, p),
    textMask: part(host.textMask, tokens, l),
    sizes: { batch: 1, poses, points: p, tokens: l },
  }
}

const MODELS: [string, SceneDiTConfig][] = [
  ['pointnet', POINTNET],
  ['set abstraction, bias, local points', LOCATED],
  ['set abstraction, recomputed', { ...LOCATED, recomputeBlocks: true }],
  ['anchors', ANCHORED],
  ['perceiver', PERCEIVER],
  ['double stream', DOUBLE_STREAM],
  ['no adaptive norms', { ...LOCATED, conditioning: 'none', pooledCondition: false }],
]

describe.each(MODELS)('%s', (_, config) => {
  let model: SceneDiT
  beforeAll(async () => {
    model = await hashedSceneDiT(device, config, 'laws/')
  })
  afterAll(() => model.dispose())
  const host = hostBatch('laws')

  it('padding has no influence on outputs, loss and gradients, to the bit', async () => {
    const wanted = await evaluate(model, host)
    for (const values of wanted.values()) expect(values.every(Number.isFinite)).toBe(true)
    const paddings = [() => Number.NaN, () => Number.POSITIVE_INFINITY, (i: number) => (i % 7) * 1e6 - 3e6]
    for (const padding of paddings) equalBits(await evaluate(model, withPadding(host, padding)), wanted)
    const first = shuffled(host)
    equalBits(
      await evaluate(
        model,
        withPadding(first, () => Number.NaN),
      ),
      await evaluate(model, first),
    )
  })

  it('in training too', async () => {
    model.train()
    const wanted = await evaluate(model, host)
    expect(
      await evaluate(
        model,
        withPadding(host, () => Number.NaN),
      ),
    ).toEqual(wanted)
    model.eval()
  })

  it('the order of the points has no influence', async () => {
    const [given, other] = [await evaluate(model, host), await evaluate(model, shuffled(host))]
    for (const [name, values] of given) {
      if (name === 'points.grad') continue
      expect(largestError(other.get(name)!, values), name).toBeLessThan(1e-5)
    }
  })

  it('a scene alone gives what it gives among others, with less padding too', async () => {
    const together = await evaluate(model, host)
    const out = together.get('out')!
    const each = out.length / T.length
    for (const [sample, [points, tokens]] of [
      [0, 0],
      [3, 1],
      [6, 2],
    ].entries()) {
      for (const less of [
        [0, 0],
        [points, tokens],
      ]) {
        const single = await evaluate(model, alone(host, sample, less[0], less[1]), [T[sample]])
        const wanted = out.slice(sample * each, (sample + 1) * each)
        expect(largestError(single.get('out')!, wanted)).toBeLessThan(1e-5)
      }
    }
  })
})

it('bf16 moves the output by what rounding the operands of the blocks costs', async () => {
  const outputs = await Promise.all(
    (['f32', 'bf16'] as const).map(async computeDtype => {
      const model = await hashedSceneDiT(device, { ...LOCATED, computeDtype }, 'laws/')
      const out = (await evaluate(model, hostBatch('laws'))).get('out')!
      model.dispose()
      return out
    }),
  )
  const distance = relativeDistance(outputs[1], outputs[0])
  expect(distance).toBeLessThan(1e-2)
  // Were it less, nothing would have been in bf16.
  expect(distance).toBeGreaterThan(1e-5)
})
