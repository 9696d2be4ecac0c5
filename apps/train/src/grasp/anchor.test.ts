import { hostNormal, rngKey } from '@ditkit/core'
import { sampleSurface } from '@ditkit/scene-collate'
import { describe, expect, it, test } from 'vitest'
import { boxMesh } from '../../test/shapes'
import { AnchorFrames, drawRows, framesAt, randomRows, type Surface, touchedPoint } from './anchor'
import { POSE_SIZE, poseFromAxes, readPose, writePose } from './pose'

/** Points with unit normals, the first straight up, the second straight down. */
function someSurface(count: number): Surface {
  const points = Float32Array.from(hostNormal(rngKey(1), count * 3))
  const normals = Float32Array.from(hostNormal(rngKey(2), count * 3))
  normals.set([0, 0, 1, 0, 0, -1])
  for (let i = 0; i < normals.length; i += 3) {
    const length = Math.hypot(normals[i], normals[i + 1], normals[i + 2])
    for (let k = 0; k < 3; k++) normals[i + k] /= length
  }
  return { points, normals }
}

const surface = someSurface(20)
const COUNT = 20

describe('the frame of a point', () => {
  it('is right-handed and orthonormal, the normal first, then what is closest to up', () => {
    const frames = new AnchorFrames(COUNT)
    for (let i = 0; i < COUNT; i++) {
      frames.set(i, surface, i)
      const r = frames.rotations.subarray(i * 9, i * 9 + 9)
      const column = (axis: number) => [r[axis], r[3 + axis], r[6 + axis]]
      const dot = (a: number[], b: number[]) => a.reduce((sum, value, k) => sum + value * b[k], 0)
      for (const a of [0, 1, 2])
        for (const b of [0, 1, 2]) expect(dot(column(a), column(b))).toBeCloseTo(a === b ? 1 : 0, 5)
      const [n, u, w] = [0, 1, 2].map(column)
      expect([n[1] * u[2] - n[2] * u[1], n[2] * u[0] - n[0] * u[2], n[0] * u[1] - n[1] * u[0]]).toEqual(
        w.map(value => expect.closeTo(value, 5)),
      )
      expect(n).toEqual([...surface.normals.subarray(i * 3, i * 3 + 3)])
      // Nothing at right angles to the normal is higher than the second axis.
      expect(w[2]).toBeCloseTo(0, 5)
      expect(u[2]).toBeGreaterThanOrEqual(-1e-6)
    }
  })

  it('takes grasps in and gives them back', () => {
    const frames = framesAt(surface, randomRows(COUNT, COUNT, rngKey(3)))
    const vectors = Float32Array.from(hostNormal(rngKey(4), COUNT * POSE_SIZE))
    const moved = vectors.slice()
    for (let i = 0; i < COUNT; i++) frames.move(moved, i, i, 'anchor')
    expect(moved).not.toEqual(vectors)
    for (let i = 0; i < COUNT; i++) frames.move(moved, i, i, 'surface')
    for (const [i, value] of vectors.entries()) expect(moved[i]).toBeCloseTo(value, 5)
  })

  it('sees a grasp alike however the object is turned about the vertical, and wherever it stands', () => {
    const turned = (x: number, y: number, z: number): [number, number, number] => [
      0.8 * x - 0.6 * y,
      0.6 * x + 0.8 * y,
      z,
    ]
    const pose = { at: [1, 2, 3], approach: [0.6, 0, -0.8], closing: [0.8, 0, 0.6] } as const
    const seen = [0, 1].map(turn => {
      const way = (v: readonly [number, number, number]) => (turn ? turned(...v) : v)
      const moved = way(pose.at).map(value => value + turn * 0.5) as [number, number, number]
      const point = way([1.5, 2, 3.4]).map(value => value + turn * 0.5)
      const frames = new AnchorFrames(1)
      frames.set(0, { points: Float32Array.from(point), normals: Float32Array.from(way([0.8, 0, 0.6])) }, 0)
      const vector = new Float32Array(POSE_SIZE)
      writePose(poseFromAxes(moved, way(pose.approach), way(pose.closing), 1), vector)
      frames.move(vector, 0, 0, 'anchor')
      return vector
    })
    for (const [i, value] of seen[0].entries()) expect(seen[1][i]).toBeCloseTo(value, 5)
    expect([...seen[0].subarray(6, 9)]).toEqual([1, 0, 0].map(value => expect.closeTo(value, 5)))
  })
})

test('the point that a finger touches is on its side of the object, near where it closes', () => {
  const { points, fields } = sampleSurface(boxMesh(0.04, 0.2, 0.1), 2000, rngKey(5))
  const box: Surface = { points: points as Float32Array, normals: fields!.normals.data as Float32Array }
  const vector = new Float32Array(POSE_SIZE)
  for (const side of [1, -1]) {
    writePose(poseFromAxes([0, 0.05, 0.06], [0, 0, -1], [side, 0, 0], 0.06), vector)
    const at = touchedPoint(box, vector, 0, 0.01, 1) * 3
    expect(box.points[at]).toBeCloseTo(side * 0.02, 6)
    expect(Math.hypot(box.points[at + 1] - 0.05, box.points[at + 2] - 0.06)).toBeLessThan(0.01)
    expect(readPose(vector).width).toBeCloseTo(0.06, 6)
  }
})

test('rows are drawn as often as their logits say, and the likelier ones more often when it is colder', () => {
  const logits = [0, Math.log(3), Number.NEGATIVE_INFINITY]
  const share = (temperature: number) => {
    const rows = drawRows(logits, 20_000, temperature, rngKey(6))
    return [0, 1, 2].map(row => rows.filter(drawn => drawn === row).length / rows.length)
  }
  expect(share(1)).toEqual([0.25, 0.75, 0].map(value => expect.closeTo(value, 2)))
  expect(share(0.5)).toEqual([0.1, 0.9, 0].map(value => expect.closeTo(value, 2)))
  expect(drawRows([-1e9, -1e9], 4, 1, rngKey(7))).toHaveLength(4)
})
