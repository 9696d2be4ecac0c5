import { type Device, noGrad, reference, rngKey, scope, type Tensor } from '@ditkit/core'
import { hashNormal } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type DeviceBatch,
  DOUBLE_STREAM,
  disposeBatch,
  hashedSceneDiT,
  hostBatch,
  LOCATED,
  onDevice,
  PERCEIVER,
  POINTNET,
  POSE,
} from '../test/scene-models'
import type { SceneCondition } from './condition'
import { SceneDiT, type SceneDiTOptions } from './scene-dit'
import type { SceneDiTConfig } from './scene-dit-config'
import type { Timesteps } from './timestep-embedding'

let device: Device
let batch: DeviceBatch
let model: SceneDiT
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
  batch = onDevice(device, hostBatch('behaviour'))
  model = await hashedSceneDiT(device, LOCATED, 'behaviour/')
})
afterAll(() => {
  disposeBatch(batch)
  model.dispose()
  expect(device.memory().liveTensors).toBe(0)
})

const T = [10, 500.5, 999]
const read = async (run: () => Tensor) => {
  const out = scope(() => noGrad(run))
  const values = [...(await out.data())]
  out.dispose()
  return values
}
const run = (of: SceneDiT, condition: SceneCondition = batch.condition, options: SceneDiTOptions = {}) =>
  read(() => of.forward(batch.x, T, condition, { poseMask: batch.poseMask, ...options }))

const near = (got: number[], want: number[], digits = 9) => {
  expect(got.length).toBe(want.length)
  got.forEach((value, i) => {
    expect(value).toBeCloseTo(want[i], digits)
  })
}

async function withModel<R>(config: SceneDiTConfig, use: (model: SceneDiT) => Promise<R>): Promise<R> {
  const other = await hashedSceneDiT(device, config, 'behaviour/')
  const result = await use(other)
  other.dispose()
  return result
}

describe('a new SceneDiT', () => {
  it('predicts zero', async () => {
    const fresh = new SceneDiT(device, rngKey(1), LOCATED).eval()
    expect(await run(fresh)).toEqual(new Array(3 * 3 * POSE).fill(0))
    fresh.dispose()
  })

  it('is a function of its key', async () => {
    const [a, b, other] = [1, 1, 2].map(seed => new SceneDiT(device, rngKey(seed), PERCEIVER))
    expect(await a.stateDict()).toEqual(await b.stateDict())
    const name = 'blocks.0.scene_attn.q.weight'
    expect((await a.stateDict())[name]).not.toEqual((await other.stateDict())[name])
    for (const each of [a, b, other]) each.dispose()
  })

  const bad: [Partial<SceneDiTConfig>, RegExp][] = [
    [{ poseDim: 0 }, /poseDim is 0, expected a whole number above 0/],
    [{ numHeads: 3 }, /numHeads 3 does not divide hiddenSize 16/],
    [{ attentionDropout: 1 }, /attentionDropout is 1, expected 0 ≤/],
    [{ sceneDropout: 0.5, textDropout: 0.5, jointDropout: 0.1 }, /add up to 1.1/],
    [{ conditioning: 'adaln' as 'adaLN' }, /conditioning is 'adaln', expected one of none, adaLN, adaLN-Zero/],
    [{ conditioning: 'none', pooledCondition: true }, /pooledCondition needs conditioning 'adaLN'/],
    [{ scene: undefined, textDim: 0, blocks: 'double-stream' }, /need a scene or a text to be the second stream/],
    [{ scene: undefined, textDim: 0, pooledCondition: true }, /pooledCondition needs a scene or a text/],
    [{ scene: undefined, textDim: 0, timeGate: true }, /timeGate needs a scene or a text/],
    [{ blocks: 'double-stream', crossAttentionDropout: 0.1 }, /crossAttentionDropout needs blocks 'cross'/],
    [{ ...DOUBLE_STREAM, poseFrame: 'position', geometricBias: true }, /geometricBias needs blocks 'cross'/],
    [{ ...LOCATED, poseFrame: 'none', local: undefined }, /geometricBias needs a poseFrame/],
    [{ poseFrame: 'position', distanceBias: true }, /distanceBias needs scene tokens that have positions/],
    [{ local: { neighbors: 3 } }, /local needs a poseFrame/],
    [{ scene: undefined, poseFrame: 'position', local: { neighbors: 3 } }, /local needs a scene/],
    [{ poseDim: 8, poseFrame: 'rotation-6d' }, /takes 9 numbers of a pose but poseDim is 8/],
  ]
  it.each(bad)('refuses what does not go together: %o', (change, message) => {
    expect(() => new SceneDiT(device, rngKey(1), { ...POINTNET, ...change })).toThrow(message)
  })
})

describe('poses', () => {
  const order = [2, 0, 1]
  const reordered = <A extends Float32Array | Uint8Array>(data: A, width: number) =>
    data.map((_, i) => {
      const token = Math.floor(i / width)
      return data[(token - (token % 3) + order[token % 3]) * width + (i % width)]
    }) as A

  it.each([
    ['a set', { ...LOCATED, posePositions: 'none' }, true],
    ['a set in double-stream blocks', DOUBLE_STREAM, true],
    ['numbered by learned positions', LOCATED, false],
  ] as const)('are %s', async (_, config, isSet) => {
    const host = hostBatch('behaviour')
    const other = onDevice(device, { ...host, x: reordered(host.x, POSE), poseMask: reordered(host.poseMask, 1) })
    await withModel(config, async each => {
      const given = await run(each)
      const moved = await read(() => each.forward(other.x, T, other.condition, { poseMask: other.poseMask }))
      const wanted = [...reordered(Float32Array.from(given), POSE)]
      const largest = Math.max(...wanted.map((value, i) => Math.abs(value - moved[i])))
      if (isSet) expect(largest).toBeLessThan(1e-6)
      else expect(largest).toBeGreaterThan(1e-3)
    })
    disposeBatch(other)
  })

  it('that are masked out give 0', async () => {
    const values = await run(model)
    const rows = [...(await batch.poseMask.data())]
    rows.forEach((taken, i) => {
      const row = values.slice(i * POSE, (i + 1) * POSE)
      expect(row.every(value => value === 0)).toBe(!taken)
    })
  })

  it('may be as many as one likes, up to the learned positions', async () => {
    for (const poses of [1, 2, 7, 59]) {
      const x = device.tensor(hashNormal('many', [3, poses, POSE]), [3, poses, POSE])
      expect((await read(() => model.forward(x, 5, batch.condition))).length).toBe(3 * poses * POSE)
      x.dispose()
    }
    const x = device.zeros([3, 65, POSE])
    expect(() => model.forward(x, 5)).toThrow(/x has 65 poses but there are learned positions for 64 \(maxPoses\)/)
    x.dispose()
  })
})

describe('ownAxes', () => {
  it('adds to each vector of the output one along the axes of its pose', async () => {
    const config = { ...POINTNET, scene: undefined, textDim: 0, poseFrame: 'rotation-6d', ownAxes: true } as const
    const of = new SceneDiT(device, rngKey(1), config).eval()
    // The axes of the two poses: the world's y, −x, z; and z, x, y.
    const axes = [
      [0, 1, 0, -1, 0, 0, 0, 0, 1],
      [0, 0, 1, 1, 0, 0, 0, 1, 0],
    ]
    const x = device.tensor(
      axes.flatMap(own => [7, 8, 9, ...own.slice(0, 6), 0.5]),
      [1, 2, POSE],
    )
    /** The output when the last layer says these numbers to every pose: ten of the world, then three vectors of its own. */
    const told = async (numbers: number[]) => {
      const bias = { shape: [19], dtype: 'f32', data: Float32Array.from(numbers) } as const
      await of.loadStateDict(new Map([['final_layer.linear.bias', bias]]), { strict: false })
      return read(() => of.forward(x, 5))
    }
    for (const vector of [0, 1, 2])
      for (const axis of [0, 1, 2]) {
        const numbers = Array.from({ length: 19 }, (_, i) => (i < POSE ? i : Number(i === POSE + 3 * vector + axis)))
        const want = axes.flatMap(own => {
          const column = own.slice(3 * axis, 3 * axis + 3)
          return Array.from({ length: POSE }, (_, i) => i + (Math.floor(i / 3) === vector ? column[i % 3] : 0))
        })
        near(await told(numbers), want, 6)
      }
    x.dispose()
    of.dispose()
  })
})

describe('conditions', () => {
  it('left out, or without a valid point or word, are none', async () => {
    const { points, text } = batch.condition
    const empty = device.zeros([3, 11], { dtype: 'bool' })
    const wordless = device.zeros([3, 4], { dtype: 'bool' })
    const none = await run(model, {})
    near(await run(model, { points, pointMask: empty, text, textMask: wordless }), none)
    near(await run(model, { points, pointMask: empty }), none)
    for (const only of [{ points }, { text }]) {
      const values = await run(model, only)
      expect(values).not.toEqual(none)
      expect(values).not.toEqual(await run(model))
    }
    empty.dispose()
    wordless.dispose()
  })

  it.each([LOCATED, PERCEIVER, DOUBLE_STREAM])(
    'encoded beforehand, and one for all samples, are the same',
    async config => {
      await withModel(config, async each => {
        const encoded = scope(() => noGrad(() => each.encode(batch.condition)))
        expect(await run(each, encoded as SceneCondition)).toEqual(await run(each))
        const first = Object.fromEntries(
          await Promise.all(
            Object.entries(batch.condition).map(async ([name, tensor]) => {
              const [, ...rest] = tensor.shape
              const data = (await tensor.data()).slice(0, tensor.size / 3)
              return [name, device.tensor(data as Float64Array, [1, ...rest], { dtype: tensor.dtype })] as const
            }),
          ),
        )
        const threefold = Object.fromEntries(
          await Promise.all(
            Object.entries(first).map(async ([name, tensor]) => {
              const data = [...(await tensor.data())]
              const shape = [3, ...tensor.shape.slice(1)]
              return [name, device.tensor([...data, ...data, ...data], shape, { dtype: tensor.dtype })] as const
            }),
          ),
        )
        near(await run(each, first), await run(each, threefold))
        for (const tensor of [...Object.values(first), ...Object.values(threefold)]) tensor.dispose()
        for (const tensor of Object.values(encoded)) if (typeof tensor === 'object') tensor.dispose()
      })
    },
  )

  it('of sentences are texts of one token', async () => {
    const { points, pointMask } = batch.condition
    const sentence = device.tensor(hashNormal('sentence', [3, 5]), [3, 5])
    const token = device.tensor(hashNormal('sentence', [3, 5]), [3, 1, 5])
    const taken = device.tensor(new Uint8Array([1, 0, 1]), [3])
    const values = await run(model, { points, pointMask, text: sentence })
    expect(values).toEqual(await run(model, { points, pointMask, text: token }))
    const partly = await run(model, { points, pointMask, text: sentence, textMask: taken })
    const none = await run(model, { points, pointMask })
    expect(partly.slice(30, 60)).toEqual(none.slice(30, 60))
    expect(partly.slice(0, 30)).toEqual(values.slice(0, 30))
    for (const tensor of [sentence, token, taken]) tensor.dispose()
  })

  it('are missing in training as often as the config says, alone and together', async () => {
    const config = { ...POINTNET, depth: 1, sceneDropout: 0.2, textDropout: 0.1, jointDropout: 0.3 }
    await withModel(config, async each => {
      const count = 300
      const repeat = (data: Float32Array) => device.tensor(data, [1, ...shapeOf(data)])
      const shapeOf = (data: Float32Array) => (data.length === 5 ? [5] : [data.length / 6, 6])
      const points = repeat(hashNormal('dropout/points', [4, 6]))
      const text = repeat(hashNormal('dropout/text', [5]))
      const [manyPoints, manyText] = await Promise.all(
        [points, text].map(async tensor => {
          const data = [...(await tensor.data())]
          return device.tensor(new Array(count).fill(data).flat(), [count, ...tensor.shape.slice(1)])
        }),
      )
      const x = device.tensor(new Array(count * POSE).fill(0.5), [count, 1, POSE])
      const firstOf = async (condition: SceneCondition) => (await read(() => each.forward(x, 3, condition)))[0]
      const expected = {
        all: await firstOf({ points, text }),
        scene: await firstOf({ text }),
        text: await firstOf({ points }),
        both: await firstOf({}),
      }
      each.train()
      const condition = { points: manyPoints, text: manyText }
      expect(() => scope(() => each.forward(x, 3, condition))).toThrow(/dropout in training needs a key/)
      const outputs = (seed: number) => read(() => each.forward(x, 3, condition, { key: rngKey(seed) }))
      const values = await outputs(1)
      expect(await outputs(1)).toEqual(values)
      expect(await outputs(2)).not.toEqual(values)
      const share = (value: number) =>
        Array.from({ length: count }, (_, i) => values[i * POSE]).filter(v => Math.abs(v - value) < 1e-9).length / count
      expect(share(expected.scene)).toBeCloseTo(0.2, 1)
      expect(share(expected.text)).toBeCloseTo(0.1, 1)
      expect(share(expected.both)).toBeCloseTo(0.3, 1)
      expect(Object.values(expected).reduce((total, value) => total + share(value), 0)).toBeCloseTo(1, 9)
      for (const tensor of [points, text, manyPoints, manyText, x]) tensor.dispose()
    })
  })
})

describe('guidance', () => {
  const guide = (scales: number | number[], against?: SceneCondition | SceneCondition[]) =>
    read(() => model.forwardWithGuidance(batch.x, T, batch.condition, scales, { against, poseMask: batch.poseMask }))

  it('is u + s·(c − u), u knowing neither scene nor text', async () => {
    const [c, u] = [await run(model), await run(model, {})]
    near(
      await guide(2.5),
      u.map((value, i) => value + 2.5 * (c[i] - value)),
    )
    expect(await guide(1)).toEqual(c)
  })

  it('may act on one condition alone, and away from another text', async () => {
    const { points, pointMask } = batch.condition
    const unwanted = device.tensor(hashNormal('unwanted', [3, 2, 5]), [3, 2, 5])
    for (const against of [
      { points, pointMask },
      { points, pointMask, text: unwanted },
    ]) {
      const [c, u] = [await run(model), await run(model, against)]
      near(
        await guide(3, against),
        u.map((value, i) => value + 3 * (c[i] - value)),
      )
    }
    unwanted.dispose()
  })

  it('may have a scale for the scene and one for the text', async () => {
    const { points, pointMask } = batch.condition
    const scene = { points, pointMask }
    const [none, seen, both] = [await run(model, {}), await run(model, scene), await run(model)]
    near(
      await guide([2, 4], [{}, scene]),
      none.map((value, i) => value + 2 * (seen[i] - value) + 4 * (both[i] - seen[i])),
    )
  })
})

describe('options', () => {
  const changes: [string, SceneDiTConfig, Partial<SceneDiTConfig>][] = [
    ['conditioning none', LOCATED, { conditioning: 'none', pooledCondition: false }],
    ['conditioning adaLN', LOCATED, { conditioning: 'adaLN' }],
    ['pooledCondition', LOCATED, { pooledCondition: false }],
    ['timeGate', LOCATED, { timeGate: false }],
    ['posePositions', LOCATED, { posePositions: 'none' }],
    ['poseFrame', LOCATED, { poseFrame: 'quaternion' }],
    ['positionScale', LOCATED, { positionScale: 1 }],
    ['geometricBias', LOCATED, { geometricBias: false }],
    ['distanceBias', LOCATED, { distanceBias: false }],
    ['local', LOCATED, { local: undefined }],
    ['qkNorm', LOCATED, { qkNorm: false }],
    ['qkNorm of double-stream blocks', DOUBLE_STREAM, { qkNorm: false }],
    ['timeGate of double-stream blocks', DOUBLE_STREAM, { timeGate: true }],
    ['blocks', { ...DOUBLE_STREAM, qkNorm: false }, { blocks: 'cross' }],
  ]
  it.each(changes)('%s matters', async (_, config, change) => {
    const given = await withModel(config, each => run(each))
    const changed = await withModel({ ...config, ...change }, each => run(each))
    expect(Math.max(...given.map((value, i) => Math.abs(value - changed[i])))).toBeGreaterThan(1e-4)
  })

  it.each([
    [{ attentionDropout: 0.3 }, POINTNET],
    [{ crossAttentionDropout: 0.3 }, LOCATED],
    [{ attentionDropout: 0.3 }, DOUBLE_STREAM],
  ] as const)('%o acts in training, by key', async (change, base) => {
    const config = { ...base, ...change, sceneDropout: 0, textDropout: 0, jointDropout: 0 }
    await withModel(config, async each => {
      const still = await run(each)
      each.train()
      expect(() => scope(() => each.forward(batch.x, T, batch.condition))).toThrow(/dropout in training needs a key/)
      const dropped = await run(each, batch.condition, { key: rngKey(1) })
      expect(dropped).not.toEqual(still)
      expect(await run(each, batch.condition, { key: rngKey(1) })).toEqual(dropped)
      expect(await run(each, batch.condition, { key: rngKey(2) })).not.toEqual(dropped)
    })
  })
})

describe('forward', () => {
  it('takes timesteps as one number and as numbers', async () => {
    const at = (t: Timesteps) => read(() => model.forward(batch.x, t, batch.condition))
    expect(await at(7.5)).toEqual(await at([7.5, 7.5, 7.5]))
    expect(await at(8)).not.toEqual(await at(7.5))
  })

  it('refuses what does not fit, naming it', async () => {
    const { x, condition, poseMask } = batch
    const { points, pointMask, text, textMask } = condition
    const forward = (given: SceneCondition, pose: Tensor = x, mask?: Tensor) => {
      return () => scope(() => model.forward(pose, 1, given, { poseMask: mask }))
    }
    const tensors = [
      device.zeros([3, 3, 9]),
      device.zeros([3, 11, 5]),
      device.zeros([2, 11, 6]),
      device.zeros([3, 4]),
      device.ones([3, 3]),
    ]
    const [narrow, flat, two, short, floats] = tensors
    expect(forward(condition, narrow)).toThrow(/x has shape \[3, 3, 9\], expected \[B, G, 10\]/)
    expect(forward(condition, x, floats)).toThrow(/poseMask is .*expected bool \[3, 3\]/)
    expect(forward({ points: flat })).toThrow(/points has shape \[3, 11, 5\], expected \[B, P, 6\]/)
    expect(forward({ points, pointMask: poseMask })).toThrow(/the mask of points is .*expected bool \[3, 11\]/)
    expect(forward({ points: two })).toThrow(/the condition has 2 samples but x has 3/)
    expect(forward({ points: two, text })).toThrow(/2 scenes but 3 texts/)
    expect(forward({ text: short })).toThrow(/text has shape \[3, 4\], expected \[B, 5\] \(sentences\) or \[B, L, 5\]/)
    expect(forward({ text, textMask: pointMask })).toThrow(/textMask is .*expected bool \[3, 4\]/)
    expect(forward({ pointMask })).toThrow(/pointMask was given without points/)
    expect(forward({ textMask })).toThrow(/textMask was given without text/)
    expect(() => scope(() => model.forward(x, [1, 2], condition))).toThrow(/t is 2 numbers but x has 3 samples/)
    await withModel({ ...POINTNET, scene: undefined, textDim: 0 }, async bare => {
      expect(() => scope(() => bare.forward(x, 1, { points }))).toThrow(/a model without a scene encoder/)
      expect(() => scope(() => bare.forward(x, 1, { text }))).toThrow(/a model without text \(textDim 0\)/)
      expect((await read(() => bare.forward(x, 1))).length).toBe(90)
    })
    for (const tensor of tensors) tensor.dispose()
  })
})
