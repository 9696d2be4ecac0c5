import { reference, scope } from '@ditkit/core'
import { collateScenes, type Scene } from '@ditkit/scene-collate'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { conditionOf, posesFromModel, toModelScene, UNIT } from './model-scene'
import { POSE_SIZE, poseFromAxes, writePose } from './pose'

const metres = fc.double({ min: -2, max: 2, noNaN: true })
const cloud = fc
  .array(fc.tuple(metres, metres, metres), { minLength: 1, maxLength: 9 })
  .map(rows => Float32Array.from(rows.flat()))
const angle = fc.double({ min: 0, max: 6.28, noNaN: true })

function sceneOf(points: Float32Array): Scene {
  const normals = points.map((_, i) => Number(i % 3 === 0))
  return { name: 'some', points, fields: { normals: { data: normals, width: 3, parts: ['direction'] } } }
}

test('however it is turned, the mean of a scene is above the origin, and heights and distances are in its units', () => {
  fc.assert(
    fc.property(cloud, angle, (points, yaw) => {
      const seen = toModelScene(sceneOf(points), yaw).points
      const count = points.length / 3
      for (const axis of [0, 1])
        expect(seen.reduce((sum, value, i) => (i % 3 === axis ? sum + value / count : sum), 0)).toBeCloseTo(0, 4)
      for (let i = 0; i < points.length; i += 3) {
        expect(seen[i + 2]).toBeCloseTo(points[i + 2] / UNIT, 4)
        const apart = (p: Float32Array) => Math.hypot(p[i] - p[0], p[i + 1] - p[1])
        expect(apart(seen)).toBeCloseTo(apart(points) / UNIT, 3)
      }
    }),
  )
})

test('a scene that is turned to the left has its points and normals turned to the left', () => {
  const { points, fields } = toModelScene(sceneOf(Float32Array.of(0, 0, 0, 0.2, 0, 0)), Math.PI / 2)
  const rounded = (values: ArrayLike<number>) => Array.from(values, value => Math.round(1e5 * value) / 1e5 + 0)
  expect(rounded(points)).toEqual([0, -0.1 / UNIT, 0, 0, 0.1 / UNIT, 0])
  expect(rounded(fields!.normals.data)).toEqual([0, 1, 0, 0, 1, 0])
})

test('poses come back to where the scene was read, whatever the turn', () => {
  fc.assert(
    fc.property(cloud, angle, (points, yaw) => {
      const poses = new Float32Array(POSE_SIZE)
      writePose(poseFromAxes([0.3, -0.1, 0.2], [0, 0.6, -0.8], [1, 0, 0], 0.05), poses, 0)
      const sets = { grasps: { data: poses, width: POSE_SIZE, parts: ['position', 'rotation-6d', 'length'] as const } }
      const seen = toModelScene({ ...sceneOf(points), sets }, yaw)
      const back = posesFromModel(seen.sets!.grasps.data as Float32Array, seen.transform!)
      for (const [i, value] of poses.entries()) expect(back[i]).toBeCloseTo(value, 4)
    }),
  )
})

test('the model is given positions, then normals, and which points there are', async () => {
  const device = await reference()
  const batch = collateScenes([sceneOf(Float32Array.of(1, 2, 3)), sceneOf(Float32Array.of(4, 5, 6, 7, 8, 9))])
  const { points, pointMask, text } = scope(() => conditionOf(batch, Float32Array.of(1, 2, 3, 4), device))
  expect(points!.shape).toEqual([2, 2, 6])
  expect([...(await points!.data())]).toEqual([
    ...[1, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    ...[4, 5, 6, 1, 0, 0, 7, 8, 9, 1, 0, 0],
  ])
  expect([...(await pointMask!.data())].map(Number)).toEqual([1, 0, 1, 1])
  expect(text!.shape).toEqual([2, 2])
  device.dispose()
})
