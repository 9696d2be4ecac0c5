import { type Device, noGrad, reference, rngKey, scope, type Tensor } from '@ditkit/core'
import { skipInit } from '@ditkit/nn'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CONDITIONAL, hashed, hashedModel, UNCONDITIONAL } from '../test/configs'
import { DiT, type DiTConfig, type DiTPreset, ditPreset, type Labels } from './dit'
import { type Timesteps, timestepEmbedding } from './timestep-embedding'

const TINY = { inputSize: 2, patchSize: 2, inChannels: 1, hiddenSize: 8, depth: 1, numHeads: 2, numClasses: 5 }

let device: Device
let model: DiT
let x: Tensor
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
  model = await hashedModel(device, CONDITIONAL, 'behaviour/')
  x = hashed(device, 'behaviour/x', [2, 3, 6, 10])
})
afterAll(() => {
  x.dispose()
  model.dispose()
  expect(device.memory().liveTensors).toBe(0)
})

const read = async (run: () => Tensor) => {
  const out = scope(() => noGrad(run))
  const values = [...(await out.data())]
  out.dispose()
  return values
}
const T = [10, 500.5]
const run = (t: Timesteps, y?: Labels) => read(() => model.forward(x, t, y))
const guide = (scale: number, guidedChannels?: number) =>
  read(() => model.forwardWithGuidance(x, T, [1, 2], scale, { guidedChannels }))

describe('a new DiT', () => {
  it('predicts zero, its blocks being the identity and its last layer zero', async () => {
    const fresh = new DiT(device, rngKey(1), CONDITIONAL).eval()
    expect(await read(() => fresh.forward(x, T, [0, 1]))).toEqual(new Array(2 * 6 * 60).fill(0))
    fresh.dispose()
  })

  it('is a function of its key', async () => {
    const [a, b, other] = [1, 1, 2].map(seed => new DiT(device, rngKey(seed), UNCONDITIONAL))
    expect(await a.stateDict()).toEqual(await b.stateDict())
    expect((await a.stateDict())['blocks.0.attn.qkv.weight']).not.toEqual(
      (await other.stateDict())['blocks.0.attn.qkv.weight'],
    )
    for (const each of [a, b, other]) each.dispose()
  })

  it('refuses sizes that do not fit', () => {
    const make = (change: Partial<DiTConfig>) => () => new DiT(device, rngKey(1), { ...CONDITIONAL, ...change })
    expect(make({ patchSize: 4 })).toThrow(/patchSize 4 does not divide inputSize \[6, 10\]/)
    expect(make({ numHeads: 5 })).toThrow(/numHeads 5 does not divide hiddenSize 36/)
    expect(make({ hiddenSize: 18, numHeads: 2 })).toThrow(/hiddenSize 18 must be a multiple of 4/)
  })
})

describe('forward', () => {
  it('takes timesteps as one number, as numbers and as sinusoids', async () => {
    const each = await run([7.5, 7.5], [0, 1])
    expect(await run(7.5, [0, 1])).toEqual(each)
    expect(await read(() => model.forward(x, timestepEmbedding(device, [7.5, 7.5]), [0, 1]))).toEqual(each)
    expect(await run([7.5, 8], [0, 1])).not.toEqual(each)
  })

  it('takes labels from the host and from the device, and the null class when there are none', async () => {
    const host = await run(T, [4, 5])
    expect(await read(() => model.forward(x, T, device.tensor(new Int32Array([4, 5]), [2])))).toEqual(host)
    expect(await run(T)).toEqual(await run(T, [5, 5]))
    expect(await run(T)).not.toEqual(host)
  })

  it('refuses what does not fit, naming it', async () => {
    expect(() => scope(() => model.forward(x, [1, 2, 3], [0, 0]))).toThrow(/t is 3 numbers but x has 2 samples/)
    expect(() => scope(() => model.forward(x, T, [0]))).toThrow(/1 labels for 2 samples/)
    expect(() => scope(() => model.forward(x, T, [0, 6]))).toThrow(/label 1 is 6, expected an integer in 0 … 5/)
    expect(() => scope(() => model.forward(x, T, [0.5, 0]))).toThrow(/label 0 is 0\.5/)
    expect(() => scope(() => model.forward(x, [1, Number.NaN], [0, 0]))).toThrow(/t\[1\] is NaN/)
    const image = device.zeros([2, 3, 10, 6])
    expect(() => scope(() => model.forward(image, T))).toThrow(/x has shape \[2, 3, 10, 6\], expected \[B, 3, 6, 10\]/)
    image.dispose()
    const plain = await hashedModel(device, UNCONDITIONAL, 'plain/')
    const small = device.zeros([1, 1, 8, 8])
    expect(() => scope(() => plain.forward(small, 1, [0]))).toThrow(/unconditional model/)
    expect(() => scope(() => plain.forwardWithGuidance(small, 1, [0], 2))).toThrow(/guidance needs a null class/)
    small.dispose()
    plain.dispose()
  })
})

describe('label dropout', () => {
  it('replaces labels by the null class in training, by key', async () => {
    const tiny = await hashedModel(device, TINY, 'tiny/')
    const many = hashed(device, 'many', [200, 1, 2, 2])
    const labels = new Int32Array(200).fill(2)
    const outputs = (y: Labels, seed = 0) => read(() => tiny.forward(many, 1, y, { key: rngKey(seed) }))
    const [kept, dropped] = [await outputs(labels), await outputs(labels.map(() => tiny.nullClass))]
    tiny.train()
    expect(() => scope(() => tiny.forward(many, 1, labels))).toThrow(/label dropout in training needs a key/)
    const trained = await outputs(labels, 3)
    expect(await outputs(labels, 3)).toEqual(trained)
    expect(await outputs(labels, 4)).not.toEqual(trained)
    const isFrom = (source: number[], sample: number) => source[4 * sample] === trained[4 * sample]
    const samples = Array.from(labels.keys())
    const nulls = samples.filter(sample => isFrom(dropped, sample))
    expect(nulls.length).toBeGreaterThan(10)
    expect(nulls.length).toBeLessThan(30)
    expect(samples.filter(sample => isFrom(kept, sample)).length).toBe(200 - nulls.length)
    tiny.dispose()
    many.dispose()
  })
})

describe('guidance', () => {
  it('is u + s·(c − u) on the prediction, and the conditional output for the variance', async () => {
    const [c, u] = [await run(T, [1, 2]), await run(T, [5, 5])]
    const guided = await guide(2.5)
    expect(guided.length).toBe(c.length)
    const expected = c.map((value, i) => (channelOf(i) < 3 ? u[i] + 2.5 * (value - u[i]) : value))
    guided.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i], 9)
    })
  })

  it('acts on the leading channels asked for', async () => {
    const c = await run(T, [1, 2])
    const guided = await guide(2.5, 1)
    guided.forEach((value, i) => {
      if (channelOf(i) > 0) expect(value).toBeCloseTo(c[i], 9)
    })
    expect(guided).not.toEqual(c)
  })

  it('of scale 1 is the conditional output itself', async () => {
    expect(await guide(1)).toEqual(await run(T, [1, 2]))
  })

  it('moves away from negative labels in place of the null class, rescaled where asked', async () => {
    const guided = (options: Parameters<DiT['forwardWithGuidance']>[4]) =>
      read(() => model.forwardWithGuidance(x, T, [1, 2], 2.5, options))
    expect(await guided({ negative: [5, 5] })).toEqual(await guide(2.5))
    const [c, negative] = [await run(T, [1, 2]), await run(T, [3, 0])]
    ;(await guided({ negative: [3, 0] })).forEach((value, i) => {
      expect(value).toBeCloseTo(channelOf(i) < 3 ? negative[i] + 2.5 * (c[i] - negative[i]) : c[i], 9)
    })
    expect(await guided({ rescale: 0.7 })).not.toEqual(await guide(2.5))
  })

  const channelOf = (i: number) => Math.floor(i / 60) % 6
})

describe('presets', () => {
  it('are those of the paper', () => {
    expect(ditPreset('DiT-XL/2')).toMatchObject({
      depth: 28,
      hiddenSize: 1152,
      numHeads: 16,
      patchSize: 2,
      inputSize: 32,
    })
    expect(ditPreset('DiT-B/8', { inputSize: 64 })).toMatchObject({
      depth: 12,
      hiddenSize: 768,
      patchSize: 8,
      inputSize: 64,
    })
    expect(() => ditPreset('DiT-M/2' as DiTPreset)).toThrow(/'DiT-M\/2' is not one of/)
  })

  it('have the weights of facebookresearch/DiT', () => {
    const small = skipInit(() => new DiT(device, rngKey(0), ditPreset('DiT-S/8', { depth: 1, numClasses: 3 })))
    const shapes = Object.fromEntries([...small.stateTensors()].map(([name, { shape }]) => [name, shape.join('x')]))
    expect(shapes).toEqual({
      'x_embedder.proj.weight': '384x4x8x8',
      'x_embedder.proj.bias': '384',
      't_embedder.mlp.0.weight': '384x256',
      't_embedder.mlp.0.bias': '384',
      't_embedder.mlp.2.weight': '384x384',
      't_embedder.mlp.2.bias': '384',
      'y_embedder.embedding_table.weight': '4x384',
      pos_embed: '1x16x384',
      'blocks.0.attn.qkv.weight': '1152x384',
      'blocks.0.attn.qkv.bias': '1152',
      'blocks.0.attn.proj.weight': '384x384',
      'blocks.0.attn.proj.bias': '384',
      'blocks.0.mlp.fc1.weight': '1536x384',
      'blocks.0.mlp.fc1.bias': '1536',
      'blocks.0.mlp.fc2.weight': '384x1536',
      'blocks.0.mlp.fc2.bias': '384',
      'blocks.0.adaLN_modulation.1.weight': '2304x384',
      'blocks.0.adaLN_modulation.1.bias': '2304',
      'final_layer.linear.weight': '512x384',
      'final_layer.linear.bias': '512',
      'final_layer.adaLN_modulation.1.weight': '768x384',
      'final_layer.adaLN_modulation.1.bias': '768',
    })
    small.dispose()
  })
})
