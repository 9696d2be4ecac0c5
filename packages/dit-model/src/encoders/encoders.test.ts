// Encoders against what their papers say, computed here on the host, and the masks they return. That padding, order and batching have no
// influence is tested for whole models in test/scene-laws.test.ts.

import { backward, type Device, reference, rngKey, scope, sum, type Tensor } from '@ditkit/core'
import { hashNormal } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { setHashed } from '../../test/scene-models'
import { poseFrames } from '../pose-geometry'
import { LocalEncoder } from './local'
import { PerceiverPool } from './perceiver'
import { PointNet } from './pointnet'
import { makeSceneEncoder, type SceneEncoderConfig } from './scene-encoder'
import { SetAbstraction, SetAbstractionEncoder } from './set-abstraction'

let device: Device
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
})
afterAll(() => expect(device.memory().liveTensors).toBe(0))

const P = 9
const points = [...hashNormal('encoders/points', [2, P, 5])]
const mask = Uint8Array.from({ length: 2 * P }, (_, i) => (i < P || i % 3 === 0 ? 1 : 0))
const valid = (sample: number) => Array.from({ length: P }, (_, i) => i).filter(i => mask[sample * P + i])
const point = (sample: number, i: number) => points.slice((sample * P + i) * 5, (sample * P + i + 1) * 5)
const onDevice = () => [device.tensor(points, [2, P, 5]), device.tensor(mask, [2, P])] as const

const read = async (tensor: Tensor) => {
  const values = [...(await tensor.data())]
  tensor.dispose()
  return values
}
const rowsOf = (values: number[], width: number) =>
  Array.from({ length: values.length / width }, (_, i) => values.slice(i * width, (i + 1) * width))
const near = (got: number[], want: number[]) => {
  expect(got.length).toBe(want.length)
  got.forEach((value, i) => {
    expect(value).toBeCloseTo(want[i], 6)
  })
}

type Weights = Awaited<ReturnType<PointNet['stateDict']>>

/** The shared MLP of one point, from the weights under `prefix`. */
function layers(weights: Weights, prefix: string, x: number[]): number[] {
  let h = x
  for (let i = 0; weights[`${prefix}layers.${i}.weight`]; i++) {
    const [weight, bias] = [weights[`${prefix}layers.${i}.weight`].data, weights[`${prefix}layers.${i}.bias`].data]
    const inputs = h
    h = Array.from(bias as Float64Array, (value, row) =>
      Math.max(
        0,
        inputs.reduce((sum, input, k) => sum + input * Number(weight[row * inputs.length + k]), Number(value)),
      ),
    )
  }
  return h
}

const maximum = (rows: number[][], width: number) =>
  Array.from({ length: width }, (_, c) => (rows.length ? Math.max(...rows.map(row => row[c])) : 0))

function layerNorm(weights: Weights, prefix: string, x: number[]): number[] {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length
  const rstd = 1 / Math.sqrt(x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length + 1e-5)
  const { data: scale } = weights[`${prefix}weight`]
  const { data: shift } = weights[`${prefix}bias`]
  return x.map((value, i) => (value - mean) * rstd * Number(scale[i]) + Number(shift[i]))
}

const distance = (a: number[], b: number[]) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2])

/** Farthest-point sampling from the point farthest from the centroid, without ties. */
function farthest(candidates: number[][], count: number): number[][] {
  const centroid = [0, 1, 2].map(axis => candidates.reduce((sum, p) => sum + p[axis], 0) / candidates.length)
  const by = (rank: (p: number[]) => number) => candidates.reduce((best, p) => (rank(p) > rank(best) ? p : best))
  const chosen = [by(p => distance(p, centroid))]
  while (chosen.length < Math.min(count, candidates.length))
    chosen.push(by(p => Math.min(...chosen.map(c => distance(p, c)))))
  return chosen
}

describe('PointNet', () => {
  it('is the normalised maximum over valid points of a shared MLP', async () => {
    const encoder = new PointNet(device, rngKey(0), { channels: 5, widths: [7, 6] })
    await setHashed(encoder, 'pointnet/')
    const weights = await encoder.stateDict()
    const { tokens, mask: out } = scope(() => encoder.forward(...onDevice()))
    expect(tokens.shape).toEqual([2, 1, 6])
    expect(await read(out)).toEqual([1, 1])
    const got = rowsOf(await read(tokens), 6)
    for (const sample of [0, 1]) {
      const rows = valid(sample).map(i => layers(weights, 'mlp.', point(sample, i)))
      near(got[sample], layerNorm(weights, 'norm.', maximum(rows, 6)))
    }
    encoder.dispose()
  })
})

describe('SetAbstraction', () => {
  it.each([undefined, 1.1])('sees the neighbours of the farthest points from them (radius %s)', async radius => {
    const level = { points: 4, neighbors: 3, radius, widths: [6, 8] }
    const encoder = new SetAbstraction(device, rngKey(0), 2, level)
    await setHashed(encoder, 'abstraction/')
    const weights = await encoder.stateDict()
    const [cloud, valids] = onDevice()
    const positions = device.tensor(
      rowsOf(points, 5).flatMap(p => p.slice(0, 3)),
      [2, P, 3],
    )
    const features = device.tensor(
      rowsOf(points, 5).flatMap(p => p.slice(3)),
      [2, P, 2],
    )
    const out = scope(() => encoder.forward({ positions, features, mask: valids }))
    const masks = rowsOf(await read(out.mask), 4)
    const [places, tokens] = [rowsOf(await read(out.positions), 12), rowsOf(await read(out.features), 32)]
    for (const sample of [0, 1]) {
      const candidates = valid(sample).map(i => point(sample, i))
      const centres = farthest(candidates, 4)
      expect(masks[sample]).toEqual([0, 1, 2, 3].map(i => (i < candidates.length ? 1 : 0)))
      const empty = 4 - centres.length
      near(places[sample], [...centres.flatMap(c => c.slice(0, 3)), ...new Array(3 * empty).fill(0)])
      const wanted = centres.map(centre => {
        const near = candidates
          .filter(p => radius === undefined || distance(p, centre) <= radius)
          .sort((a, b) => distance(a, centre) - distance(b, centre))
          .slice(0, 3)
        const rows = near.map(p => {
          const offset = [0, 1, 2].map(axis => (p[axis] - centre[axis]) / (radius ?? 1))
          return layers(weights, 'mlp.', [...offset, ...p.slice(3)])
        })
        return layerNorm(weights, 'norm.', maximum(rows, 8))
      })
      near(tokens[sample], [...wanted.flat(), ...new Array(8 * empty).fill(0)])
    }
    for (const owner of [cloud, valids, positions, features, encoder]) owner.dispose()
  })

  it('stacks, and the mask of the last level counts its tokens', async () => {
    const levels = [
      { points: 6, neighbors: 4, widths: [8] },
      { points: 4, neighbors: 3, widths: [5] },
    ]
    const encoder = new SetAbstractionEncoder(device, rngKey(0), { channels: 5, levels })
    const out = scope(() => encoder.forward(...onDevice()))
    expect(out.tokens.shape).toEqual([2, 4, 5])
    expect(await read(out.mask)).toEqual([1, 1, 1, 1, 1, 1, 1, 0])
    for (const owner of [out.tokens, out.positions!, encoder]) owner.dispose()
  })

  it('takes clouds of positions alone, and of fewer points than centres and neighbours', async () => {
    const levels = [{ points: 6, neighbors: 5, radius: 0.5, widths: [4] }]
    const encoder = new SetAbstractionEncoder(device, rngKey(0), { channels: 3, levels })
    const [cloud, one] = [device.tensor([1, 2, 3], [1, 1, 3]), device.ones([1, 1], { dtype: 'bool' })]
    const out = scope(() => encoder.forward(cloud, one))
    expect(await read(out.mask)).toEqual([1, 0, 0, 0, 0, 0])
    expect((await read(out.tokens)).every(Number.isFinite)).toBe(true)
    for (const owner of [cloud, one, out.positions!, encoder]) owner.dispose()
  })
})

describe('LocalEncoder', () => {
  it('is the maximum over the nearest valid points of their offsets and features', async () => {
    const encoder = new LocalEncoder(device, rngKey(0), 5, { neighbors: 4, widths: [6] })
    await setHashed(encoder, 'local/')
    const weights = await encoder.stateDict()
    const poses = [...hashNormal('encoders/poses', [2, 3, 3])]
    const got = rowsOf(
      await read(
        scope(() => encoder.forward(poseFrames(device.tensor(poses, [2, 3, 3]), 'position', 1), ...onDevice())),
      ),
      6,
    )
    got.forEach((row, i) => {
      const sample = Math.floor(i / 3)
      const pose = poses.slice(3 * i, 3 * i + 3)
      const rows = valid(sample)
        .map(p => point(sample, p))
        .sort((a, b) => distance(a, pose) - distance(b, pose))
        .slice(0, 4)
        .map(p => layers(weights, 'mlp.', [p[0] - pose[0], p[1] - pose[1], p[2] - pose[2], ...p.slice(3)]))
      near(row, maximum(rows, 6))
    })
    encoder.dispose()
  })

  it.each([
    [true, 'the same'],
    [false, 'another'],
  ])('with normals=%s is %s when cloud and poses turn together', async (normals, outcome) => {
    const encoder = new LocalEncoder(device, rngKey(0), 7, { neighbors: 3, widths: [6], normals })
    await setHashed(encoder, 'local/')
    // A quarter turn about z of every vector: in a pose the position and two axes, in a point the position and the normal.
    const turned = (values: number[], width: number, vectors: number) =>
      rowsOf(values, width).flatMap(row =>
        row.map((value, i) => (i >= 3 * vectors || i % 3 === 2 ? value : i % 3 === 0 ? -row[i + 1] : row[i - 1])),
      )
    const [cloud, poses] = [[...hashNormal('local/cloud', [1, 5, 7])], [...hashNormal('local/poses', [1, 2, 9])]]
    const run = (points: number[], x: number[]) =>
      read(
        scope(() =>
          encoder.forward(
            poseFrames(device.tensor(x, [1, 2, 9]), 'rotation-6d', 1),
            device.tensor(points, [1, 5, 7]),
            device.full([1, 5], 1, { dtype: 'bool' }),
          ),
        ),
      )
    const [before, after] = [await run(cloud, poses), await run(turned(cloud, 7, 2), turned(poses, 9, 3))]
    const apart = Math.max(...before.map((value, i) => Math.abs(value - after[i])))
    if (outcome === 'the same') expect(apart).toBeLessThan(1e-6)
    else expect(apart).toBeGreaterThan(1e-3)
    encoder.dispose()
  })

  it('with centres sees the points nearest to each of them, from where the pose is, not those nearest to the pose', async () => {
    const config = { neighbors: 2, centres: [[0.9, 0, 0] as const, [0, -0.2, 1.1] as const], widths: [6] }
    const encoder = new LocalEncoder(device, rngKey(0), 5, config)
    await setHashed(encoder, 'centres/')
    const weights = await encoder.stateDict()
    // A quarter turn to the left: its axes are the world's y, −x and z.
    const pose = [0.2, -0.1, 0.3]
    const frame = device.tensor([...pose, 0, 1, 0, -1, 0, 0], [1, 1, 9])
    const cloud = rowsOf([...hashNormal('centres/cloud', [1, 12, 5])], 5)
    const run = (points: number[][]) =>
      read(
        scope(() =>
          encoder.forward(
            poseFrames(frame, 'rotation-6d', 1),
            device.tensor(points.flat(), [1, 12, 5]),
            device.full([1, 12], 1, { dtype: 'bool' }),
          ),
        ),
      )
    const chosen = config.centres.flatMap(([x, y, z]) => {
      const centre = [pose[0] - y, pose[1] + x, pose[2] + z]
      return [...cloud].sort((a, b) => distance(a, centre) - distance(b, centre)).slice(0, 2)
    })
    const rows = chosen.map(p => {
      const [x, y, z] = pose.map((value, axis) => p[axis] - value)
      return layers(weights, 'mlp.', [y, -x, z, ...p.slice(3)])
    })
    const seen = await run(cloud)
    near(seen, maximum(rows, 6))
    // What lies elsewhere, if only next to the pose, may hold anything.
    const elsewhere = cloud.filter(p => !chosen.includes(p)).sort((a, b) => distance(a, pose) - distance(b, pose))
    expect(distance(elsewhere[0], pose)).toBeLessThan(Math.max(...chosen.map(p => distance(p, pose))))
    const changed = (which: number[]) => cloud.map(p => (p === which ? [...p.slice(0, 3), 9, -9] : p))
    expect(await run(changed(elsewhere[0]))).toEqual(seen)
    expect(await run(changed(chosen[0]))).not.toEqual(seen)
    for (const owner of [frame, encoder]) owner.dispose()
  })

  it('refuses to look at no centre at all', () => {
    const make = () => new LocalEncoder(device, rngKey(0), 5, { neighbors: 2, centres: [] })
    expect(make).toThrow(RangeError)
    expect(make).toThrow(/LocalEncoder: centres is empty \(expected at least one; leave it out/)
  })

  it('needs channels for the normals that it is to turn', () => {
    expect(() => new LocalEncoder(device, rngKey(0), 5, { neighbors: 2, normals: true })).toThrow('at least 6 channels')
  })

  it('is 0 where there is no point', async () => {
    const encoder = new LocalEncoder(device, rngKey(0), 5, { neighbors: 2, widths: [6] })
    await setHashed(encoder, 'local/')
    const [cloud, none] = [device.full([1, 3, 5], Number.NaN), device.zeros([1, 3], { dtype: 'bool' })]
    const out = scope(() => encoder.forward(poseFrames(device.ones([1, 2, 3]), 'position', 1), cloud, none))
    expect(await read(out)).toEqual(new Array(12).fill(0))
    for (const owner of [cloud, none, encoder]) owner.dispose()
  })
})

describe('PerceiverPool', () => {
  it('of no token is what its latents are without any, whatever stands there', async () => {
    const pool = new PerceiverPool(device, rngKey(0), 5, { latents: 3, width: 8, heads: 2, depth: 2 })
    await setHashed(pool, 'pool/')
    const pooled = (values: number, count: number) =>
      read(scope(() => pool.forward(device.full([1, count, 5], values), device.zeros([1, count], { dtype: 'bool' }))))
    expect(await pooled(Number.NaN, 4)).toEqual(await pooled(1, 2))
    pool.dispose()
  })
})

describe('every encoder', () => {
  const configs: SceneEncoderConfig[] = [
    { type: 'pointnet', channels: 5 },
    { type: 'set-abstraction', channels: 5, levels: [{ points: 4, neighbors: 3, widths: [8] }] },
    { type: 'perceiver', channels: 5, latents: 4, width: 8 },
  ]

  it.each(configs)('gives tokens of its width, and gradients to all its weights ($type)', async config => {
    const encoder = makeSceneEncoder(device, rngKey(0), config)
    const {
      tokens,
      mask: out,
      positions,
    } = scope(() => {
      const result = encoder.forward(...onDevice())
      backward(sum(result.tokens))
      return result
    })
    expect(tokens.shape[2]).toBe(encoder.width)
    expect(out.shape).toEqual(tokens.shape.slice(0, 2))
    expect(positions !== undefined).toBe(encoder.located)
    for (const [name, { grad }] of encoder.namedParameters()) expect(grad, name).toBeDefined()
    for (const owner of [tokens, out, positions, encoder]) owner?.dispose()
  })

  it.each(configs)('refuses points and masks that do not fit ($type)', config => {
    const encoder = makeSceneEncoder(device, rngKey(0), config)
    const [cloud, valids] = onDevice()
    const narrow = device.zeros([2, P, 4])
    const [short, floats] = [device.zeros([2, P - 1], { dtype: 'bool' }), device.ones([2, P])]
    expect(() => encoder.forward(narrow, valids)).toThrow(/points has shape \[2, 9, 4\], expected \[B, P, 5\]/)
    expect(() => encoder.forward(cloud, short)).toThrow(/the mask of points is .*expected bool \[2, 9\]/)
    expect(() => encoder.forward(cloud, floats)).toThrow(/expected bool \[2, 9\]/)
    for (const owner of [cloud, valids, narrow, short, floats, encoder]) owner.dispose()
  })

  it('that there is not is named', () => {
    const make = (config: object) => () => makeSceneEncoder(device, rngKey(0), config as SceneEncoderConfig)
    expect(make({ type: 'voxel', channels: 3 })).toThrow(/type 'voxel' is not one of pointnet/)
    expect(make({ type: 'pointnet', channels: 2 })).toThrow(/channels is 2, expected at least the 3/)
    expect(make({ type: 'set-abstraction', channels: 3, levels: [] })).toThrow(/levels is empty/)
  })
})
