import { concat, type Device, matmul, reference, reshape, scope, type Tensor, transpose } from '@ditkit/core'
import { hashNormal } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  composed,
  distanceFactors,
  fromFrame,
  inFrame,
  type PoseFrameKind,
  type PoseFrames,
  poseFrames,
  relativeGeometry,
} from './pose-geometry'

let device: Device
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
})
afterAll(() => expect(device.memory().liveTensors).toBe(0))

const read = async (run: () => Tensor) => {
  const out = scope(run)
  const values = [...(await out.data())]
  out.dispose()
  return values
}

const near = (got: number[], want: number[], digits = 7) => {
  expect(got.length).toBe(want.length)
  got.forEach((value, i) => {
    expect(value).toBeCloseTo(want[i], digits)
  })
}

/** Rotation by `angle` about the unit axis (x, y, z), row-major (Rodrigues). */
function rotation([x, y, z]: number[], angle: number): number[][] {
  const [c, s] = [Math.cos(angle), Math.sin(angle)]
  const d = 1 - c
  return [
    [c + x * x * d, x * y * d - z * s, x * z * d + y * s],
    [y * x * d + z * s, c + y * y * d, y * z * d - x * s],
    [z * x * d - y * s, z * y * d + x * s, c + z * z * d],
  ]
}

const AXIS = [2 / 7, 3 / 7, 6 / 7]
const R = rotation(AXIS, 1.2)

describe('the rotation of a pose', () => {
  const rotationOf = (rotationNumbers: number[], kind: PoseFrameKind) =>
    read(() => {
      const pose = device.tensor([9, 9, 9, ...rotationNumbers], [1, 1, 3 + rotationNumbers.length])
      return poseFrames(pose, kind, 1).rotations!
    })

  it('is read off two columns of any length', async () => {
    const [first, second] = [0, 1].map(column => R.map(row => row[column]))
    near(await rotationOf([...first, ...second], 'rotation-6d'), R.flat())
    // What is along the first column does not count in the second, nor does length.
    const oblique = second.map((value, i) => 3 * value + 0.7 * first[i])
    near(await rotationOf([...first.map(value => value / 2), ...oblique], 'rotation-6d'), R.flat())
  })

  it('is read off a quaternion w, x, y, z of any length and sign', async () => {
    const quaternion = [Math.cos(0.6), ...AXIS.map(value => value * Math.sin(0.6))]
    near(await rotationOf(quaternion, 'quaternion'), R.flat())
    near(
      await rotationOf(
        quaternion.map(value => -2.5 * value),
        'quaternion',
      ),
      R.flat(),
    )
  })

  it('is orthonormal and right-handed for the numbers of noise', async () => {
    const noise = hashNormal('noise', [4, 5, 9])
    const rotations = () => poseFrames(device.tensor(noise, [4, 5, 9]), 'rotation-6d', 1).rotations!
    const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    near(await read(() => matmul(rotations(), transpose(rotations()))), new Array(20).fill(identity).flat(), 6)
    const values = await read(rotations)
    for (let i = 0; i < 20; i++) {
      const [a, b, c, d, e, f, g, h, j] = values.slice(9 * i, 9 * i + 9)
      expect(a * (e * j - f * h) - b * (d * j - f * g) + c * (d * h - e * g)).toBeCloseTo(1, 6)
    }
  })

  it('of a pose of zeros is finite', async () => {
    for (const kind of ['rotation-6d', 'quaternion'] as const)
      expect((await rotationOf(new Array(6).fill(0), kind)).every(Number.isFinite)).toBe(true)
  })
})

describe('points seen from a pose', () => {
  const columns = [0, 1].flatMap(column => R.map(row => row[column]))
  const pose = () => device.tensor([0.5, -0.25, 1, ...columns], [1, 1, 9])
  const points = [1.5, 2, -1, 1, -0.5, 2]
  const cloud = () => device.tensor(points, [1, 2, 3])

  it('are offset along its own axes, with direction and distance', async () => {
    const want = [0, 1].flatMap(i => {
      // positionScale 2: the pose is at (1, −0.5, 2) of the points.
      const offset = [1, -0.5, 2].map((value, axis) => points[3 * i + axis] - value)
      const local = [0, 1, 2].map(axis => R.reduce((sum, row, j) => sum + row[axis] * offset[j], 0))
      const distance = Math.hypot(...local)
      return [...local, ...local.map(value => (distance === 0 ? 0 : value / distance)), distance]
    })
    const got = await read(() => relativeGeometry(poseFrames(pose(), 'rotation-6d', 2), cloud()))
    near(got.slice(0, 7), want.slice(0, 7))
    // The second point lies on the pose: no direction, and a distance that a gradient can take.
    near(got.slice(7), want.slice(7), 3)
  })

  it('have their squared distance, negated, as the product of two factors of rank 5', async () => {
    const got = await read(() => {
      const { query, key } = distanceFactors(poseFrames(pose(), 'position', 2), cloud())
      expect([query.shape, key.shape]).toEqual([
        [1, 1, 1, 5],
        [1, 2, 1, 5],
      ])
      return matmul(reshape(query, [1, 5]), transpose(reshape(key, [2, 5])))
    })
    near(got, [-(0.5 ** 2 + 2.5 ** 2 + 3 ** 2), 0])
  })
})

describe('what is given in frames', () => {
  const turns = [R, rotation([0.6, 0, -0.8], 2), rotation([0, 0, 1], -0.4), rotation([1, 0, 0], 3)]
  const places = [
    [1, 2, 3],
    [-0.5, 0.25, 4],
    [0.1, -7, 0],
    [2, 0.3, -1],
  ]
  const times = (r: number[][], v: number[]) => r.map(row => row.reduce((sum, value, k) => sum + value * v[k], 0))
  const product = (a: number[][], b: number[][]) =>
    a.map(row => [0, 1, 2].map(column => row.reduce((sum, value, k) => sum + value * b[k][column], 0)))
  /** Two poses, from `first` on. */
  const frames = (first: number, turned = true): PoseFrames => ({
    positions: device.tensor(places.slice(first, first + 2).flat(), [1, 2, 3]),
    ...(turned && { rotations: device.tensor(turns.slice(first, first + 2).flat(2), [1, 2, 3, 3]) }),
  })

  it('turns with them: R·vector, and back', async () => {
    const vectors = [...hashNormal('vectors', [1, 2, 2, 3])]
    const given = () => device.tensor(vectors, [1, 2, 2, 3])
    const want = [0, 1, 2, 3].flatMap(i => times(turns[i >> 1], vectors.slice(3 * i, 3 * i + 3)))
    near(await read(() => fromFrame(frames(0), given())), want)
    near(await read(() => inFrame(frames(0), fromFrame(frames(0), given()))), vectors)
    near(await read(() => fromFrame(frames(0, false), given())), vectors)
  })

  it('as frames is at p + R·q, turned by R·S; by S alone where the outer faces nowhere, and not where the inner does', async () => {
    const both = (outerTurned: boolean, innerTurned: boolean) =>
      read(() => {
        const { positions, rotations } = composed(frames(0, outerTurned), frames(2, innerTurned))
        return rotations ? concat([reshape(positions, [-1]), reshape(rotations, [-1])], 0) : reshape(positions, [-1])
      })
    const moved = (i: number, by: number[]) => by.map((value, axis) => places[i][axis] + value)
    const at = [0, 1].flatMap(i => moved(i, times(turns[i], places[i + 2])))
    const straight = [0, 1].flatMap(i => moved(i, places[i + 2]))
    near(await both(true, true), [...at, ...[0, 1].flatMap(i => product(turns[i], turns[i + 2])).flat()])
    near(await both(true, false), at)
    near(await both(false, true), [...straight, ...turns.slice(2).flat(2)])
  })
})
