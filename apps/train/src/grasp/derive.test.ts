import { rngKey } from '@ditkit/core'
import type { Mesh } from '@ditkit/scene-collate'
import { expect, test } from 'vitest'
import { boxMesh, cupMesh, cylinderMesh, sphereMesh } from '../../test/shapes'
import { Bvh } from './bvh'
import { deriveGrasps, holdsNearby } from './derive'
import { gradeGrasp, onTable } from './grade'
import { PARALLEL_JAW } from './gripper'
import { exchangeFingers, POSE_SIZE, readPose, writePose } from './pose'
import { poseDistance, spreadPoses } from './spread'

const SHAPES = {
  box: boxMesh(0.05, 0.2, 0.06),
  cylinder: cylinderMesh(0.03, 0.12),
  cup: cupMesh(0.045, 0.09, 0.004),
  plate: boxMesh(0.002, 0.2, 0.2),
}

for (const [name, mesh] of Object.entries(SHAPES)) {
  test(`every grasp derived from a ${name} holds, in itself, a little off, and from its vector`, () => {
    const grasps = deriveGrasps(mesh, { key: rngKey(1), count: 24, attempts: 6000 })
    expect(grasps.length).toBeGreaterThan(8)
    const scene = onTable(new Bvh(mesh))
    const vector = new Float32Array(POSE_SIZE)
    for (const grasp of grasps) {
      expect(holdsNearby(scene, grasp)).toBe(true)
      expect(gradeGrasp(scene, exchangeFingers(grasp)).holds).toBe(true)
      writePose(grasp, vector)
      expect(gradeGrasp(scene, readPose(vector)).holds).toBe(true)
    }
  })
}

test('grasps hold at twice the margin where there are enough such; else those of smaller margins join them', () => {
  const shares = (mesh: Mesh, count: number, attempts: number) => {
    const grasps = deriveGrasps(mesh, { key: rngKey(5), count, attempts })
    expect(grasps.length).toBeGreaterThan(10)
    const scene = onTable(new Bvh(mesh))
    return [2, 1.5].map(
      margin => grasps.filter(grasp => holdsNearby(scene, grasp, PARALLEL_JAW, margin)).length / grasps.length,
    )
  }
  expect(shares(SHAPES.cylinder, 12, 1000)[0]).toBe(1)
  // Too few attempts to find a third of so many that hold at twice the margin.
  const [twice, less] = shares(SHAPES.cylinder, 300, 300)
  expect(twice).toBeGreaterThan(0.5)
  expect(less).toBeGreaterThan(twice)
  // Twice the margin is 6 mm, and the fingers have 5 mm to either side of this box.
  expect(shares(boxMesh(0.07, 0.2, 0.06), 12, 1000)).toEqual([0, 1])
})

test('grasps are a function of the key', () => {
  const derive = (seed: number) => deriveGrasps(SHAPES.box, { key: rngKey(seed), count: 8, attempts: 500 })
  expect(derive(1)).toEqual(derive(1))
  expect(derive(1)).not.toEqual(derive(2))
})

test('nothing is derived from what the gripper cannot hold', () => {
  for (const mesh of [sphereMesh(0.06), boxMesh(0.2, 0.15, 0.01), boxMesh(0.1, 0.1, 0.1)])
    expect(deriveGrasps(mesh, { key: rngKey(1), attempts: 500 })).toEqual([])
})

test('the object is in the middle of the fingers, and they clear it by a centimetre where they can', () => {
  const scene = onTable(new Bvh(SHAPES.box))
  for (const grasp of deriveGrasps(SHAPES.box, { key: rngKey(3), count: 16, attempts: 2000 })) {
    const grade = gradeGrasp(scene, grasp)
    if (!grade.holds) throw new Error(grade.reason)
    expect(grade.middle).toBeCloseTo(0, 6)
    expect(grasp.width).toBeCloseTo(Math.min(0.08, grade.thickness + 0.02), 6)
  }
})

test('the spread set begins with the first grasp and leaves none far from it', () => {
  const grasps = deriveGrasps(SHAPES.cylinder, { key: rngKey(4), count: 64, attempts: 3000 })
  const reversed = grasps.toReversed()
  const few = spreadPoses(reversed, 16)
  expect(few[0]).toBe(reversed[0])
  const reach = (set: typeof grasps) =>
    Math.max(...grasps.map(grasp => Math.min(...set.map(other => poseDistance(grasp, other)))))
  expect(reach(few)).toBeLessThan(reach(reversed.slice(0, 16)))
  expect(poseDistance(grasps[0], exchangeFingers(grasps[0]))).toBeCloseTo(0, 6)
})
