// The cross-modal decoder: shapes, masks, denoising queries, gradients and errors.

import { add, backward, type Device, mul, reference, rngKey, scope, slice, sum, type Tensor } from '@ditkit/core'
import { skipInit } from '@ditkit/nn'
import { hashNormal, hashUniform, largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CrossModalDecoder, type CrossModalInputs, crossModalPreset, denoisingMask } from '../src'
import { BATCH, CONFIG, hashedDecoder, makeInputs, outputs } from './cross-modal-models'

let device: Device
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
})
afterAll(() => expect(device.memory().liveTensors).toBe(0))

/** Of width C = 256, with MLPs of 4·C, 512 and 256 channels of tokens, 64 depths, 10 classes and boxes of 10 numbers. */
const linear = (from: number, to: number) => (from + 1) * to
const C = 256
const LAYER = 8 * linear(C, C) + linear(C, 4 * C) + linear(4 * C, C) + 3 * 2 * C
const HEAD = linear(C, C) + 2 * C + linear(C, 10)
const EMBEDDINGS = linear(2 * C, C) + linear(C, C) + linear(3 * 64, 4 * C) + linear(4 * C, C)
const PRESET_PARAMETERS = 900 * 3 + linear(512, C) + linear(256, C) + EMBEDDINGS + 6 * (LAYER + 2 * HEAD) + 2 * C

describe('CrossModalDecoder', () => {
  it('gives logits and boxes of every layer, centres within the scene box', async () => {
    const model = await hashedDecoder(device, CONFIG)
    const { logits, boxes } = scope(() => model.forward(makeInputs(device)))
    expect(logits.shape).toEqual([2, BATCH, 5, 3])
    expect(boxes.shape).toEqual([2, BATCH, 5, 7])
    const centers = scope(() => slice(boxes, 3, 0, 3))
    expect([...(await centers.data())].every(x => x > 0 && x < 1)).toBe(true)
    for (const owner of [logits, boxes, centers, model]) owner.dispose()
  })

  it('begins with every box at its reference point', async () => {
    const model = new CrossModalDecoder(device, rngKey(1), CONFIG).eval()
    const points = [...(await model.reference_points.data())]
    const [, boxes] = await outputs(model, () => makeInputs(device))
    boxes.slice(0, 7 * 5).forEach((value, i) => {
      expect(value).toBeCloseTo(i % 7 < 3 ? points[Math.floor(i / 7) * 3 + (i % 7)] : 0, 6)
    })
    model.dispose()
  })

  it('tells queries apart that see nothing only where they begin with their positions', async () => {
    for (const firstContent of ['zeros', 'position'] as const) {
      const model = await hashedDecoder(device, { ...CONFIG, cameras: undefined, layers: 1, firstContent })
      const [logits] = await outputs(model, () => ({
        lidar: makeInputs(device).lidar,
        lidarMask: device.tensor(new Uint8Array(BATCH * 12), [BATCH, 12], { dtype: 'bool' }),
      }))
      const [first, second] = [logits.slice(0, 3), logits.slice(3, 6)]
      if (firstContent === 'zeros') expect(second).toEqual(first)
      else expect(largestError(second, first)).toBeGreaterThan(0.01)
      model.dispose()
    }
  })

  it.each([
    ['lidar alone', { cameras: undefined }, ['lidar']],
    ['cameras alone', { lidar: undefined }, ['cameras', 'cameraProjection']],
  ] as const)('works with %s', async (_, without, names) => {
    const model = await hashedDecoder(device, { ...CONFIG, ...without })
    const make = () =>
      Object.fromEntries(Object.entries(makeInputs(device)).filter(([name]) => names.includes(name as never)))
    const [logits] = await outputs(model, make)
    expect(logits.every(Number.isFinite)).toBe(true)
    model.dispose()
  })

  it('what a mask leaves out of a modality has no influence, whatever it holds', async () => {
    const model = await hashedDecoder(device, CONFIG)
    const masked = (fill?: number) => () => {
      const inputs = makeInputs(device)
      const mask = new Uint8Array(BATCH * 12).fill(1)
      mask.fill(0, 18, 24) // the second camera of the second sample
      if (fill !== undefined) {
        const values = hashNormal('cameras', [BATCH, 12, 5])
        values.fill(fill, 18 * 5)
        inputs.cameras = device.tensor(values, [BATCH, 12, 5])
      }
      return { ...inputs, cameraMask: device.tensor(mask, [BATCH, 12]) }
    }
    const [given, other, whole] = [
      await outputs(model, masked()),
      await outputs(model, masked(Number.NaN)),
      await outputs(model, () => makeInputs(device)),
    ]
    expect(other).toEqual(given)
    expect(whole).not.toEqual(given)
    model.dispose()
  })

  it('what a mask leaves out has no influence on gradients', async () => {
    const model = await hashedDecoder(device, CONFIG)
    const gradients = async (fill: number) => {
      const inputs = makeInputs(device)
      const values = hashNormal('lidar', [BATCH, 12, 6]).fill(fill, 0, 8 * 6)
      const lidar = device.tensor(values, [BATCH, 12, 6])
      const lidarMask = device.tensor(new Uint8Array(BATCH * 12).fill(1, 8), [BATCH, 12])
      scope(() => {
        const { logits, boxes } = model.forward({ ...inputs, lidar, lidarMask })
        backward(add(sum(logits), sum(boxes)))
      })
      for (const tensor of [...Object.values(inputs), lidar, lidarMask]) tensor.dispose()
      const result: number[] = []
      for (const parameter of model.parameters()) {
        result.push(...(await parameter.grad!.data()))
        parameter.grad!.dispose()
        parameter.grad = undefined
      }
      return result
    }
    expect(await gradients(Number.NaN)).toEqual(await gradients(1))
    model.dispose()
  })

  it('denoising queries come first and have no influence on the learned ones', async () => {
    const model = await hashedDecoder(device, CONFIG)
    const withDenoising = (name: string) => () => ({
      ...makeInputs(device),
      dnQueries: device.tensor(Float64Array.from(hashUniform(name, BATCH * 4 * 3)), [BATCH, 4, 3]),
      dnMask: device.tensor(denoisingMask({ groups: 2, perGroup: 2, queries: 5 }), [9, 9]),
    })
    const learned = ([logits]: [number[], number[]], n: number) =>
      logits.filter((_, i) => Math.floor(i / 3) % n >= n - 5)
    const alone = learned(await outputs(model, () => makeInputs(device)), 5)
    const [one, two] = [await outputs(model, withDenoising('a')), await outputs(model, withDenoising('b'))]
    expect(one[0].length).toBe(2 * BATCH * 9 * 3)
    expect(one).not.toEqual(two)
    expect(learned(one, 9)).toEqual(learned(two, 9))
    expect(largestError(learned(one, 9), alone)).toBeLessThan(1e-12)
    model.dispose()
  })

  it('gradients reach every weight and all tokens', async () => {
    const model = await hashedDecoder(device, CONFIG)
    const inputs = makeInputs(device)
    inputs.lidar.requiresGrad = inputs.cameras.requiresGrad = true
    scope(() => {
      const weighted = (x: Tensor, name: string) => sum(mul(x, device.tensor(hashNormal(name, x.shape), x.shape)))
      const { logits, boxes } = model.forward(inputs)
      backward(add(weighted(logits, 'a'), weighted(boxes, 'b')))
    })
    const all = [...model.namedParameters(), ['lidar', inputs.lidar] as const, ['cameras', inputs.cameras] as const]
    for (const [name, tensor] of all) {
      // Queries begin as zeros, so the values that the first layer mixes are all alike: how it mixes them is without influence.
      if (name === 'layers.0.self_attn.in_proj_weight') continue
      expect(
        [...(await tensor.grad!.data())].some(value => Math.abs(value) > 1e-12),
        name,
      ).toBe(true)
    }
    for (const owner of [...Object.values(inputs), model]) owner.dispose()
  })

  it.each([
    ['without a bias', {}],
    ['with a dense window', { bias: 'dense', biasShape: { type: 'window', cells: 3 } }],
    ['with factors', { bias: 'factored' }],
    ['whose queries begin with their positions', { bias: 'factored', firstContent: 'position' }],
  ] as const)(
    'layers computed again %s give the same gradients bit for bit, dropout and denoising too',
    async (_, change) => {
      const run = async (recomputeLayers: boolean) => {
        const config = { ...CONFIG, layers: 3, dropout: 0.3, ...change, recomputeLayers }
        const model = (await hashedDecoder(device, config)).train()
        expect(model.config.recomputeLayers).toBe(recomputeLayers)
        const inputs = {
          ...makeInputs(device),
          cameraMask: device.tensor(new Uint8Array(BATCH * 12).fill(1, 5), [BATCH, 12]),
          dnQueries: device.tensor(Float64Array.from(hashUniform('dn', BATCH * 4 * 3)), [BATCH, 4, 3]),
          dnMask: device.tensor(denoisingMask({ groups: 2, perGroup: 2, queries: 5 }), [9, 9]),
        }
        inputs.lidar.requiresGrad = inputs.cameras.requiresGrad = true
        const before = device.memory().liveBytes
        const { loss, held } = scope(() => {
          const weighted = (x: Tensor, name: string) => sum(mul(x, device.tensor(hashNormal(name, x.shape), x.shape)))
          const { logits, boxes } = model.forward(inputs, { key: rngKey(7) })
          const held = device.memory().liveBytes - before
          const loss = add(weighted(logits, 'a'), weighted(boxes, 'b'))
          backward(loss)
          return { loss, held }
        })
        const values = new Map([['loss', [...(await loss.data())]]])
        const tensors = [
          ...model.namedParameters(),
          ['lidar', inputs.lidar] as const,
          ['cameras', inputs.cameras] as const,
        ]
        for (const [name, tensor] of tensors) values.set(name, [...(await tensor.grad!.data())])
        for (const owner of [loss, ...Object.values(inputs), model]) owner.dispose()
        return { values, held }
      }
      const [kept, again] = [await run(false), await run(true)]
      expect(again.values).toEqual(kept.values)
      expect(again.held).toBeLessThan(0.65 * kept.held)
    },
  )

  it.each([
    ['a missing modality', () => ({ cameras: undefined }), TypeError, 'has cameras but the inputs have none'],
    [
      'tokens of another grid',
      () => ({ lidar: device.zeros([2, 11, 6]) }),
      RangeError,
      'lidar has shape [2, 11, 6], expected [2, 12, 6]',
    ],
    ['a missing projection', () => ({ cameraProjection: undefined }), TypeError, 'cameraProjection [B, n, 3, 4]'],
    [
      'a mask of another size',
      () => ({ lidarMask: device.zeros([2, 9], { dtype: 'bool' }) }),
      RangeError,
      'expected bool [2, 12]',
    ],
    ['denoising without a mask', () => ({ dnQueries: device.zeros([2, 4, 3]) }), TypeError, 'go together'],
  ] as const)('refuses %s', (_, change, type, message) => {
    scope(() => {
      const model = new CrossModalDecoder(device, rngKey(1), CONFIG)
      const run = () => model.forward({ ...makeInputs(device), ...change() } as CrossModalInputs)
      expect(run).toThrow(type)
      expect(run).toThrow(message)
      model.dispose()
    })
  })

  it.each([
    [{ lidar: undefined, cameras: undefined }, 'no modality'],
    [
      { cameras: { ...CONFIG.cameras!, count: 0 } },
      'cameras.count is 0, expected a whole number above 0; leave cameras out',
    ],
    [{ lidar: { grid: [0, 4], channels: 6 } as const }, 'lidar.grid[0] is 0'],
    [{ heads: 5 }, 'heads 5 does not divide hiddenSize 12'],
    [{ boxDim: 2 }, 'boxDim is 2'],
    [{ biasScale: { init: 5 } }, 'biasScale.init is 5'],
  ])('refuses the config %j', (change, message) => {
    expect(() => new CrossModalDecoder(device, rngKey(1), { ...CONFIG, ...change })).toThrow(message)
  })

  it('presets have the sizes of CMT', () => {
    for (const [name, tokens] of [
      ['voxel0100-r50-800x320', 22_384],
      ['voxel0075-vov-1600x640', 56_400],
    ] as const) {
      const { lidar, cameras } = crossModalPreset(name)
      expect(lidar!.grid[0] * lidar!.grid[1] + cameras!.count * cameras!.grid[0] * cameras!.grid[1]).toBe(tokens)
      const model = skipInit(() => new CrossModalDecoder(device, rngKey(1), crossModalPreset(name)))
      const { queries, heads, layers, config } = { ...model.config, layers: model.layers.length, config: model.config }
      expect([layers, config.hiddenSize, heads, queries]).toEqual([6, 256, 8, 900])
      expect(model.parameters().reduce((total, { size }) => total + size, 0)).toBe(PRESET_PARAMETERS)
      model.dispose()
    }
    expect(() => crossModalPreset('large' as never)).toThrow('voxel0100-r50-800x320')
  })

  it('drops in training only, by key', async () => {
    const model = (await hashedDecoder(device, { ...CONFIG, dropout: 0.3 })).train()
    const draw = async (seed?: number) => {
      const { logits, boxes } = scope(() =>
        model.forward(makeInputs(device), { key: seed === undefined ? undefined : rngKey(seed) }),
      )
      const values = [...(await logits.data())]
      logits.dispose()
      boxes.dispose()
      return values
    }
    expect(await draw(1)).toEqual(await draw(1))
    expect(await draw(1)).not.toEqual(await draw(2))
    await expect(draw()).rejects.toThrow(/key|rng/)
    model.eval()
    expect(await draw()).toEqual(await draw(1))
    model.dispose()
  })
})
