import { add, backward, type Device, reference, rngKey, scope, slice, type Tensor } from '@ditkit/core'
import { hashNormal, largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  ANCHORED,
  type DeviceBatch,
  disposeBatch,
  FRAME,
  hashedSceneDiT,
  hostBatch,
  LOCATED,
  onDevice,
  setHashed,
} from '../test/scene-models'
import { AnchorEncoder } from './anchors'
import { type EncodedCondition, type Proposed, poseFrames, proposalLoss, type SceneDiT } from './index'

const T = [10, 500.5, 999]

let device: Device
let model: SceneDiT
let batch: DeviceBatch
let encoded: EncodedCondition
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
  model = await hashedSceneDiT(device, ANCHORED, 'anchors/')
  batch = onDevice(device, hostBatch('anchors'))
  encoded = model.encode(batch.condition)
})
afterAll(() => {
  for (const tensor of Object.values(encoded)) if (typeof tensor === 'object') tensor.dispose()
  disposeBatch(batch)
  model.dispose()
  expect(device.memory().liveTensors).toBe(0)
})

const values = async (tensor: Tensor) => {
  const all = [...(await tensor.data())]
  tensor.dispose()
  return all
}

/** 3 × 5 frames, those from `first` on, up to `end`. */
function someFrames(first: number, end: number) {
  const all = device.tensor(hashNormal('frames', [3, 5, FRAME]), [3, 5, FRAME])
  return poseFrames(slice(all, 1, first, end), 'rotation-6d', 1)
}

/** The output for poses given from the frames from `first` on. */
function outputFrom(x: Tensor, first: number) {
  return scope(() => {
    const frames = someFrames(first, first + 3)
    return model.forward(x, T, encoded, { anchors: { frames, features: model.encodeAnchors(frames, encoded) } })
  })
}

const both = ({ shape, named }: Proposed): [Tensor, Tensor] => [shape, named]

describe('anchors', () => {
  it('move what a pose sees: the same vector from another frame gives another output', async () => {
    const [here, there] = [await values(outputFrom(batch.x, 0)), await values(outputFrom(batch.x, 1))]
    expect(largestError(here, there)).toBeGreaterThan(1e-3)
  })

  it('have to be given to a model that has them, whole, and to no other', async () => {
    expect(() => model.forward(batch.x, T, encoded)).toThrow(/anchors is missing/)
    const frames = scope(() => someFrames(0, 2))
    const features = device.zeros([3, 3, ANCHORED.hiddenSize])
    const anchors = { frames, features }
    expect(() => model.forward(batch.x, T, encoded, { anchors })).toThrow(
      /anchors.frames.positions has shape \[3, 2, 3\], expected \[3, 3, 3\]/,
    )
    const without = await hashedSceneDiT(device, LOCATED, 'anchors/')
    expect(() => without.forward(batch.x, T, batch.condition, { anchors })).toThrow(/without anchors/)
    expect(() => without.encodeAnchors(frames, encoded)).toThrow(/has no anchors/)
    without.dispose()
    for (const tensor of [features, ...Object.values(frames)]) tensor.dispose()
  })
})

describe('what an anchor knows of itself', () => {
  /** A turn by `angle` about z, then one about x, row-major. */
  const turn = (angle: number, tilt = 0) => {
    const [[c, s], [d, t]] = [angle, tilt].map(each => [Math.cos(each), Math.sin(each)])
    return [
      [c, -s, 0],
      [d * s, d * c, -t],
      [t * s, t * c, d],
    ]
  }

  /** The features of three anchors, the first at the origin, among points with normals, all of which are turned and then moved. */
  async function features(rotation: number[][], [dx, dy, dz]: number[]): Promise<number[]> {
    const encoder = new AnchorEncoder(device, rngKey(0), 6, 8, { neighbors: 4, widths: [8], normals: true })
    await setHashed(encoder, 'knows/')
    const moved = (vectors: Float32Array, isPlace: (vector: number) => boolean) =>
      vectors.map((_, i) => {
        const first = i - (i % 3)
        const value = rotation[i % 3].reduce((sum, factor, k) => sum + factor * vectors[first + k], 0)
        return isPlace(first / 3) ? value + [dx, dy, dz][i % 3] : value
      })
    const anchors = hashNormal('knows/frames', [1, 3, FRAME]).fill(0, 0, 3)
    const frames = moved(anchors, vector => vector % 3 === 0)
    const cloud = moved(hashNormal('knows/points', [1, 9, 6]), vector => vector % 2 === 0)
    const seen = scope(() =>
      encoder.forward(poseFrames(device.tensor(frames, [1, 3, FRAME]), 'rotation-6d', 1), {
        encoded: true,
        points: device.tensor(cloud, [1, 9, 6]),
        pointMask: device.full([1, 9], 1, { dtype: 'bool' }),
      }),
    )
    encoder.dispose()
    return values(seen)
  }

  it('is the same however the scene is turned about the vertical, and wherever on the floor it stands', async () => {
    const here = await features(turn(0), [0, 0, 0])
    expect(largestError(await features(turn(1.1), [2, -5, 0]), here)).toBeLessThan(1e-5)
  })

  it('is another at another height, and where another way is up', async () => {
    const here = await features(turn(0), [0, 0, 0])
    expect(largestError(await features(turn(0), [0, 0, 1]), here)).toBeGreaterThan(1e-2)
    // The first anchor, about which the scene is tilted, stays at its height.
    const tilted = await features(turn(0, 0.5), [0, 0, 0])
    expect(largestError(tilted.slice(0, 8), here.slice(0, 8))).toBeGreaterThan(1e-2)
  })
})

describe('the proposal', () => {
  it('judges a place by itself: others beside it change nothing', async () => {
    const logits = (count: number) =>
      scope(() => {
        const frames = someFrames(0, count)
        return add(...both(model.proposal!.forward(model.encodeAnchors(frames, encoded), encoded)))
      })
    const [few, many] = [await values(logits(2)), await values(logits(5))]
    for (const b of [0, 1, 2])
      expect(largestError(many.slice(b * 5, b * 5 + 2), few.slice(b * 2, b * 2 + 2))).toBeLessThan(1e-12)
  })

  it('learns the ratio of densities on what is named, and what that is', async () => {
    const given = { shape: [0.3, -2, 4, -0.5], named: [1, 0, -3, 2] }
    const labels = Uint8Array.of(1, 1, 0, 1)
    const softplus = (x: number) => Math.log1p(Math.exp(x))
    const shape = (softplus(-0.3) + softplus(2) + softplus(-0.5)) / 3
    const named = (softplus(-1) + softplus(0) + softplus(-3) + softplus(-2)) / 4
    const leaves = [given.shape, given.named].map(list => device.tensor(list, [1, 4], { requiresGrad: true }))
    const loss = scope(() => proposalLoss({ shape: leaves[0], named: leaves[1] }, 2, labels))
    expect(await loss.item()).toBeCloseTo(shape + named, 12)
    backward(loss)
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
    const slopes = [-sigmoid(-0.3) / 3, -sigmoid(2) / 3, 0, sigmoid(-0.5) / 3]
    expect(largestError(await values(leaves[0].grad!), slopes)).toBeLessThan(1e-12)
    expect(
      largestError(
        await values(leaves[1].grad!),
        [-sigmoid(-1), -0.5, sigmoid(-3), -sigmoid(-2)].map(v => v / 4),
      ),
    ).toBeLessThan(1e-12)
    expect(() => proposalLoss({ shape: leaves[0], named: leaves[1] }, 2, labels.subarray(1))).toThrow(
      /3 entries, expected 4/,
    )
    for (const tensor of [...leaves, loss]) tensor.dispose()
  })
})
