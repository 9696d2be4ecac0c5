// The bias of the cross-modal decoder: what it says, that both routes agree, that its scale and weights train, and what it costs.

import { cpu } from '@ditkit/backend-cpu'
import {
  add,
  backward,
  type Device,
  mul,
  noGrad,
  normal,
  reference,
  reshape,
  rngKey,
  scope,
  sum,
  type Tensor,
} from '@ditkit/core'
import { AdamW } from '@ditkit/nn'
import { hashNormal, hashUniform, largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CrossModalConfig, CrossModalDecoder, type CrossModalInputs, denoisingMask } from '../src'
import { AttentionBiasGenerator } from '../src/decoder/attention-bias-generator'
import { completeCrossModalConfig } from '../src/decoder/cross-modal-config'
import { gridGaussian } from '../src/decoder/grid-gaussian'
import { BATCH, CONFIG, hashedDecoder, makeInputs, outputs } from './cross-modal-models'

let device: Device
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
})
afterAll(() => expect(device.memory().liveTensors).toBe(0))

const GAUSSIAN = { type: 'gaussian', sigma: 0.25, tolerance: 1e-12 } as const
const WINDOW: CrossModalConfig = { ...CONFIG, bias: 'dense', biasShape: { type: 'window', cells: 3 } }
const DENSE: CrossModalConfig = { ...CONFIG, bias: 'dense', biasShape: GAUSSIAN }
const FACTORED: CrossModalConfig = { ...CONFIG, bias: 'factored', biasShape: GAUSSIAN }
const ROUTES: [string, CrossModalConfig][] = [
  ['dense window', WINDOW],
  ['dense Gaussian', DENSE],
  ['factored Gaussian', FACTORED],
]

/** A weighted sum of all outputs. */
function loss(model: CrossModalDecoder, inputs: CrossModalInputs): Tensor {
  return scope(() => {
    const { logits, boxes } = model.forward(inputs)
    const weighted = (x: Tensor, name: string) => sum(mul(x, device.tensor(hashNormal(name, x.shape), x.shape)))
    return add(weighted(logits, 'logits'), weighted(boxes, 'boxes'))
  })
}

async function gradients(model: CrossModalDecoder): Promise<Map<string, number[]>> {
  scope(() => backward(loss(model, makeInputs(device))))
  const result = new Map<string, number[]>()
  for (const [name, parameter] of model.namedParameters()) {
    result.set(name, [...(await parameter.grad!.data())])
    parameter.grad!.dispose()
    parameter.grad = undefined
  }
  return result
}

describe('the bias', () => {
  it('is scale · weight within the window around a query’s own position, 0 elsewhere and where no camera sees it', async () => {
    const model = await hashedDecoder(device, { ...WINDOW, biasScale: { init: 3 } })
    const { bias, weights, scale } = scope(() => {
      // As the decoder calls its generator.
      const position = device.tensor(hashNormal('position', [1, 5, 12]), [1, 5, 12])
      const summary = device.tensor(hashNormal('summary', [1, 12]), [1, 12])
      const views = [
        { at: device.tensor(hashUniform('xy', 10), [1, 5, 1, 2]) },
        {
          at: device.tensor(hashUniform('uv', 20), [1, 5, 2, 2]),
          visible: device.tensor(Uint8Array.of(1, 1, 0, 1, 1, 0, 0, 0, 1, 1), [1, 5, 2, 1]),
        },
      ]
      const made = model.bias_generator!.forward(position, [summary, summary], views)
      return { bias: made.options.bias!, weights: made.weights, scale: made.scale }
    })
    expect(bias.shape).toEqual([1, 1, 5, 24])
    expect(await scale.item()).toBeCloseTo(3, 12)
    const [values, w] = [await bias.data(), await weights.data()]
    expect([...w].every(x => Math.abs(x) < 1)).toBe(true)
    const [xy, pixels, seen] = [hashUniform('xy', 10), hashUniform('uv', 20), [1, 1, 0, 1, 1, 0, 0, 0, 1, 1]]
    for (let q = 0; q < 5; q++) {
      for (let key = 0; key < 24; key++) {
        const camera = key < 12 ? -1 : Math.floor((key - 12) / 6)
        const [height, width] = camera < 0 ? [3, 4] : [2, 3]
        const cell = camera < 0 ? key : (key - 12) % 6
        const at = camera < 0 ? 2 * q : 4 * q + 2 * camera
        const [u, v] = camera < 0 ? [xy[at]!, xy[at + 1]!] : [pixels[at]!, pixels[at + 1]!]
        const near =
          Math.abs(Math.floor(u * width) - (cell % width)) <= 1 &&
          Math.abs(Math.floor(v * height) - Math.floor(cell / width)) <= 1
        const there = camera < 0 || seen[2 * q + camera] === 1
        const wanted = near && there ? 3 * (w[2 * q + (camera < 0 ? 0 : 1)] as number) : 0
        expect(values[q * 24 + key], `query ${q}, key ${key}`).toBeCloseTo(wanted, 12)
      }
    }
    for (const owner of [bias, weights, scale, model]) owner.dispose()
  })

  it('as factors is the dense one, in outputs and all gradients, where the factors are exact', async () => {
    const [dense, factored] = [await hashedDecoder(device, DENSE), await hashedDecoder(device, FACTORED)]
    expect(factored.bias_generator!.rank).toBe(3 * 4 + 2 * 2 * 3)
    const [a, b] = [await outputs(dense, () => makeInputs(device)), await outputs(factored, () => makeInputs(device))]
    for (const i of [0, 1] as const) expect(largestError(b[i], a[i])).toBeLessThan(1e-10)
    const [expected, got] = [await gradients(dense), await gradients(factored)]
    for (const [name, values] of expected) {
      // The first layer's queries and keys have no gradient but rounding: all values it mixes are equal.
      if (name === 'layers.0.self_attn.in_proj_weight') continue
      expect(largestError(got.get(name)!, values), name).toBeLessThan(1e-9)
    }
    for (const model of [dense, factored]) model.dispose()
  })

  it('as factors of low rank is within its stated error of the dense one', async () => {
    const shape = { type: 'gaussian', sigma: 0.3, tolerance: 0.02 } as const
    const grids: CrossModalConfig = { ...CONFIG, layers: 1, lidar: { grid: [13, 17], channels: 6 }, cameras: undefined }
    const bias = async (config: CrossModalConfig) => {
      const model = await hashedDecoder(device, config)
      const generator = model.bias_generator!
      const values = scope(() => {
        const position = device.tensor(hashNormal('position', [1, 59, 12]), [1, 59, 12])
        const at = device.tensor(hashUniform('xy', 118), [1, 59, 1, 2])
        const { options, weights } = generator.forward(position, [device.zeros([1, 12])], [{ at }])
        return { ...options, ...options.factoredBias, weights }
      })
      const { query, key } = values
      const result = new Float64Array(59 * 221)
      if (query && key) {
        const [f, g, rank] = [await query.data(), await key.data(), generator.rank]
        expect(query.shape).toEqual([1, 59, 1, rank])
        expect(key.shape).toEqual([1, 221, 1, rank])
        result.forEach((_, i) => {
          for (let r = 0; r < rank; r++)
            result[i]! += (f[Math.floor(i / 221) * rank + r] as number) * (g[(i % 221) * rank + r] as number)
        })
      } else result.set((await values.bias!.data()) as Float64Array)
      const { rank, error } = generator
      for (const owner of [values.bias, query, values.weights, model]) owner?.dispose()
      return { result, rank, error }
    }
    const dense = await bias({ ...grids, bias: 'dense', biasShape: shape })
    const factored = await bias({ ...grids, bias: 'factored', biasShape: shape })
    expect([dense.rank, dense.error]).toEqual([0, 0])
    expect(factored.rank).toBeLessThan(30)
    expect(factored.error).toBeLessThan(0.02)
    const apart = factored.result.reduce((most, x, i) => Math.max(most, Math.abs(x - dense.result[i]!)), 0)
    expect(apart).toBeGreaterThan(0)
    expect(apart).toBeLessThan(1.1 * 2.5 * 0.02)
  })

  it.each(ROUTES)('has the gradients of the function: %s', async (_, config) => {
    const model = await hashedDecoder(device, config)
    const expected = await gradients(model)
    const state = await model.stateDict()
    const names = Object.keys(state).filter(name => /bias_generator|reference_points|cross_attn/.test(name))
    expect(names).toContain('bias_generator.scale_logit')
    for (const name of names) {
      const { shape, data } = state[name]!
      const direction = hashNormal(`direction/${name}`, shape)
      const at = async (step: number) => {
        const values = Float64Array.from(data as Float64Array, (x, i) => x + step * direction[i]!)
        await model.loadStateDict({ [name]: { shape, dtype: 'f64', data: values } }, { strict: false })
        const value = noGrad(() => scope(() => loss(model, makeInputs(device))))
        const result = await value.item()
        value.dispose()
        return result
      }
      const step = 1e-6
      const slope = ((await at(step)) - (await at(-step))) / (2 * step)
      await at(0)
      const along = expected.get(name)!.reduce((total, x, i) => total + x * direction[i]!, 0)
      expect(Math.abs(slope - along), name).toBeLessThan(1e-6 * Math.max(1, Math.abs(along)))
      if (/bias_generator/.test(name)) expect(along, name).not.toBe(0)
    }
    model.dispose()
  })

  it.each(ROUTES)('trains its scale and its weights, and the scale stays in its range: %s', async (_, config) => {
    const model = await hashedDecoder(device, config)
    const optimizer = new AdamW(model, { lr: 0.5, weightDecay: 0 })
    const weight = model.bias_generator!.router.parameters()[0]!
    const before = [...(await weight.data())]
    const scales: number[] = []
    for (let i = 0; i < 12; i++) {
      const scale = scope(() => {
        // The loss pushes the scale up, far past what would be its end.
        const { logits, boxes, biasScale } = model.forward(makeInputs(device))
        backward(add(mul(sum(biasScale!), -1e3), add(sum(logits), sum(boxes))))
        optimizer.step()
        optimizer.zeroGrad()
        return biasScale!
      })
      scales.push(await scale.item())
      scale.dispose()
    }
    expect(scales[0]).toBeCloseTo(2.5, 12)
    scales.slice(1).forEach((scale, i) => {
      expect(scale).toBeGreaterThan(scales[i]!)
      expect(scale).toBeLessThan(5)
    })
    expect([...(await weight.data())]).not.toEqual(before)
    for (const owner of [optimizer, model]) owner.dispose()
  })

  it('begins with every modality weight at 0.5', async () => {
    const model = new CrossModalDecoder(device, rngKey(1), WINDOW)
    const result = scope(() => model.forward(makeInputs(device)))
    for (const weight of await result.modalityWeights!.data()) expect(weight).toBeCloseTo(0.5, 7)
    for (const owner of [...Object.values(result), model]) owner.dispose()
  })

  it('turns no modality off within twenty steps, however hard it is pushed and however wide it is', async () => {
    const fast = await cpu()
    const config = completeCrossModalConfig({ ...WINDOW, hiddenSize: 256 })
    const generator = new AttentionBiasGenerator(fast, rngKey(3), config)
    const optimizer = new AdamW(generator, { lr: 1e-3, weightDecay: 0 })
    const views = [1, 2].map(count => ({ at: fast.full([1, 59, count, 2], 0.5) }))
    const inputs = [59, 1, 1].map((rows, i) => normal(fast, [1, rows, 256], rngKey(4 + i)))
    const [position, ...summaries] = [inputs[0]!, ...inputs.slice(1).map(x => reshape(x, [1, 256]))]
    const weights: Tensor[] = []
    for (let step = 0; step <= 20; step++) {
      weights.at(-1)?.dispose()
      weights.push(
        scope(() => {
          const made = generator.forward(position, summaries, views)
          backward(mul(sum(made.weights), 1e3))
          optimizer.step()
          optimizer.zeroGrad()
          return made.weights
        }),
      )
    }
    for (const weight of await weights.at(-1)!.data()) {
      expect(weight).toBeGreaterThan(0.3)
      expect(weight).toBeLessThan(0.5)
    }
    fast.dispose()
  })

  it('can be frozen, and is saved all the same', async () => {
    const model = await hashedDecoder(device, { ...DENSE, biasScale: { init: 1.25, learnable: false } })
    expect([...model.namedParameters()].map(([name]) => name)).not.toContain('bias_generator.scale_logit')
    expect(Object.keys(await model.stateDict())).toContain('bias_generator.scale_logit')
    const result = scope(() => model.forward(makeInputs(device)))
    expect(await result.biasScale!.item()).toBeCloseTo(1.25, 6)
    expect(result.modalityWeights!.shape).toEqual([BATCH, 5, 2])
    for (const owner of [...Object.values(result), model]) owner.dispose()
  })

  it('has a sigma for each modality, and a rank that adds up over the cameras', () => {
    const rank = (config: Partial<CrossModalConfig>) => {
      const grids = {
        lidar: { grid: [24, 24], channels: 6 },
        cameras: { count: 3, grid: [20, 50], channels: 5 },
      } as const
      const model = new CrossModalDecoder(device, rngKey(1), { ...CONFIG, ...grids, bias: 'factored', ...config })
      const { rank } = model.bias_generator!
      model.dispose()
      return rank
    }
    const of = (grid: [number, number], sigma: number) => gridGaussian(grid, sigma, 0.05).rank
    const [lidar, wide, narrow] = [of([24, 24], 0.25), of([20, 50], 0.5), of([20, 50], 0.25)]
    expect(rank({})).toBe(lidar + 3 * wide)
    expect(rank({ biasShape: { type: 'gaussian', sigma: 0.25 } })).toBe(lidar + 3 * narrow)
    expect(rank({ cameras: undefined })).toBe(lidar)
    expect(narrow).toBeGreaterThan(wide)
  })

  it('changes what the decoder sees, and is not there with bias none', async () => {
    const all = []
    for (const config of [CONFIG, WINDOW, DENSE]) {
      const model = await hashedDecoder(device, config)
      all.push((await outputs(model, () => makeInputs(device)))[0])
      expect(model.bias_generator === undefined).toBe(config === CONFIG)
      model.dispose()
    }
    expect(largestError(all[1]!, all[0]!)).toBeGreaterThan(1e-3)
    expect(largestError(all[2]!, all[1]!)).toBeGreaterThan(1e-3)
  })

  it.each(ROUTES)('lets nothing through that a mask leaves out, nor from denoising queries: %s', async (_, config) => {
    const model = await hashedDecoder(device, config)
    const make = (fill: number, name: string) => () => {
      const lidar = hashNormal('lidar', [BATCH, 12, 6]).fill(fill, 0, 8 * 6)
      return {
        ...makeInputs(device),
        lidar: device.tensor(lidar, [BATCH, 12, 6]),
        lidarMask: device.tensor(new Uint8Array(BATCH * 12).fill(1, 8), [BATCH, 12]),
        dnQueries: device.tensor(hashUniform(name, BATCH * 4 * 3), [BATCH, 4, 3]),
        dnMask: device.tensor(denoisingMask({ groups: 2, perGroup: 2, queries: 5 }), [9, 9]),
      }
    }
    const [given, other] = [await outputs(model, make(Number.NaN, 'a')), await outputs(model, make(1, 'b'))]
    const learned = (logits: number[]) => logits.filter((_, i) => Math.floor(i / 3) % 9 >= 4)
    expect(learned(other[0])).toEqual(learned(given[0]))
    expect(given[0].every(Number.isFinite)).toBe(true)
    model.dispose()
  })

  it.each([
    [{ bias: 'factored', biasShape: { type: 'window' } }, 'a window has no low rank'],
    [{ bias: 'dense', biasShape: { type: 'window', cells: 4 } }, 'biasShape.cells is 4, expected an odd whole number'],
    [{ bias: 'dense', biasShape: { type: 'gaussian', sigma: 0 } }, 'biasShape.sigma is 0'],
    [
      { bias: 'dense', biasShape: { type: 'gaussian', sigma: { lidar: 1, cameras: -1 } } },
      'biasShape.sigma is -1 for cameras',
    ],
    [
      { bias: 'factored', biasShape: { type: 'gaussian', sigma: { lidar: 1 } } },
      'biasShape.sigma is undefined for cameras, expected above 0',
    ],
    [{ bias: 'dense', biasShape: { type: 'windows' } }, "biasShape.type is 'windows', expected window or gaussian"],
    [{ bias: 'factored', biasShape: { type: 'gaussian', tolerance: 1 } }, 'biasShape.tolerance is 1'],
    [{ bias: 'low-rank' }, "bias is 'low-rank', expected none, dense or factored"],
  ])('refuses %j', (change, message) => {
    expect(() => new CrossModalDecoder(device, rngKey(1), { ...CONFIG, ...(change as object) })).toThrow(message)
  })
})

it('factored, forward and backward make nothing of size queries × tokens', async () => {
  const fast = await cpu()
  const extra = async (bias: 'none' | 'dense' | 'factored') => {
    const config: CrossModalConfig = {
      ...{ hiddenSize: 16, heads: 2, layers: 1, queries: 400, classes: 3, boxDim: 3, mlpSize: 16, bias },
      lidar: { grid: [64, 64], channels: 4 },
    }
    const model = new CrossModalDecoder(fast, rngKey(1), config)
    const before = fast.memory().liveBytes
    scope(() => {
      const { logits, boxes } = model.forward({ lidar: fast.ones([1, 4096, 4]) })
      backward(add(sum(logits), sum(boxes)))
    })
    await fast.sync()
    const { peakBytes } = fast.memory()
    model.dispose()
    return peakBytes - before
  }
  const matrix = 400 * 4096 * 4
  // The peak only grows: from the smallest on.
  const [none, factored, dense] = [await extra('none'), await extra('factored'), await extra('dense')]
  expect(factored - none).toBeLessThan(matrix / 4)
  expect(dense - none).toBeGreaterThan(2 * matrix)
  expect(fast.memory().liveTensors).toBe(0)
  fast.dispose()
})
