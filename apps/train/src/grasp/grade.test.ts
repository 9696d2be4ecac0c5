import type { Mesh } from '@ditkit/scene-collate'
import { describe, expect, test } from 'vitest'
import { boxMesh, cupMesh, cylinderMesh, sphereMesh } from '../../test/shapes'
import { Bvh } from './bvh'
import { gradeGrasp, onTable } from './grade'
import { PARALLEL_JAW } from './gripper'
import { type GraspPose, poseFromAxes } from './pose'

const DOWN = [0, 0, -1]
const X = [1, 0, 0]
const Y = [0, 1, 0]
type Point = [number, number, number]

const from = (approach: number[], closing: number[], position: Point, width = 0.08) =>
  poseFromAxes(position, approach, closing, width)
const grade = (mesh: Mesh, pose: GraspPose) => gradeGrasp(onTable(new Bvh(mesh)), pose)
const reason = (mesh: Mesh, pose: GraspPose) => {
  const result = grade(mesh, pose)
  return result.holds ? 'holds' : result.reason
}

describe('a box of 5 x 30 x 6 cm', () => {
  const mesh = boxMesh(0.05, 0.3, 0.06)

  test('is held across its narrow side, from above and from the side', () => {
    expect(grade(mesh, from(DOWN, X, [0, 0, 0.05]))).toMatchObject({ holds: true, thickness: expect.closeTo(0.05, 6) })
    // From the end; the palm is 6.3 cm high.
    expect(reason(mesh, from([0, 1, 0], X, [0, -0.14, 0.035]))).toBe('holds')
  })

  test('is held with either finger on either side', () => {
    expect(reason(mesh, from(DOWN, [-1, 0, 0], [0, 0.1, 0.05]))).toBe('holds')
  })

  test('is held a few millimetres off, and with any width that clears it', () => {
    expect(reason(mesh, from(DOWN, X, [0.012, 0, 0.053]))).toBe('holds')
    expect(reason(mesh, from(DOWN, X, [0, 0, 0.05], 0.052))).toBe('holds')
    expect(reason(mesh, from(DOWN, X, [0, 0, 0.05], 0.2))).toBe('holds')
  })

  test('is too long for the other way round', () => {
    expect(reason(mesh, from(DOWN, Y, [0, 0, 0.05]))).toBe('a finger hits an object')
  })

  test('is hit by a finger that comes down on it, and by one opened too little', () => {
    expect(reason(mesh, from(DOWN, X, [0.03, 0, 0.05]))).toBe('a finger hits an object')
    expect(reason(mesh, from(DOWN, X, [0, 0, 0.05], 0.04))).toBe('a finger hits an object')
  })

  test('is not held from afar, from within, nor through the table', () => {
    expect(reason(mesh, from(DOWN, X, [0, 0, 0.1]))).toBe('nothing between the fingers')
    expect(reason(mesh, from(DOWN, X, [0, 0, 0.005]))).toBe('hits the table')
    expect(reason(mesh, from([0, 0, 1], X, [0, 0, 0.05]))).toBe('hits the table')
    expect(reason(mesh, from([0, 1, 0], X, [0, -0.14, 0.02]))).toBe('hits the table')
  })

  test('slips when its corners are held, or a face beyond the friction cone', () => {
    const turned = (degrees: number) => {
      const angle = (degrees * Math.PI) / 180
      return from(DOWN, [Math.cos(angle), Math.sin(angle), 0], [0, 0, 0.05])
    }
    const square = boxMesh(0.05, 0.05, 0.06)
    expect(reason(square, turned(0))).toBe('holds')
    expect(reason(square, turned(45))).toBe('the fingers slip')
    expect(reason(mesh, turned(20))).toBe('the contacts are not opposite')
  })

  test('is not held by a hand that is not finite or closed', () => {
    expect(reason(mesh, from(DOWN, X, [Number.NaN, 0, 0.05]))).toBe('the pose is not finite')
    expect(reason(mesh, from(DOWN, DOWN, [0, 0, 0.05]))).toBe('the pose is not finite')
    expect(reason(mesh, from(DOWN, X, [0, 0, 0.05], 0))).toBe('the gripper is closed')
  })
})

describe('round things', () => {
  const across = (angle: number) => [Math.cos(angle), Math.sin(angle), 0]

  test('a ball is held through its centre from any side', () => {
    const ball = sphereMesh(0.035)
    for (const angle of [0, 0.3, 1, 2]) expect(reason(ball, from(DOWN, across(angle), [0, 0, 0.035]))).toBe('holds')
    expect(reason(ball, from([0.6, 0, -0.8], Y, [0, 0, 0.035]))).toBe('holds')
  })

  test('a ball slips out above the height where the cone ends', () => {
    const ball = sphereMesh(0.035)
    // The tips reach 9 mm (8 within the tolerance) below the grasp centre; the cone ends at sin(atan 0.5) · 35 mm = 15.7 mm.
    expect(reason(ball, from(DOWN, X, [0, 0, 0.035 + 0.008 + 0.012]))).toBe('holds')
    expect(reason(ball, from(DOWN, X, [0, 0, 0.035 + 0.008 + 0.02]))).toBe('the fingers slip')
  })

  test('a ball of 9 cm is too large', () => {
    expect(reason(sphereMesh(0.045), from(DOWN, X, [0, 0, 0.045]))).toBe('a finger hits an object')
  })

  test('a standing cylinder is held from above and from the side, but not along its axis', () => {
    const cylinder = cylinderMesh(0.03, 0.12)
    expect(reason(cylinder, from(DOWN, across(0.7), [0, 0, 0.1]))).toBe('holds')
    expect(reason(cylinder, from(X, Y, [0, 0, 0.06]))).toBe('holds')
    expect(reason(cylinder, from(X, [0, 0, 1], [-0.02, 0, 0.11]))).toBe('a finger hits an object')
  })
})

describe('open and thin things', () => {
  const cup = cupMesh(0.043, 0.09, 0.004)

  test('a cup too wide to be held across is held by its wall, one finger inside', () => {
    const held = grade(cup, from(DOWN, X, [0.041, 0, 0.085], 0.03))
    // The wall is 4 mm thick and curved: over the width of a finger it takes 5.1 mm.
    expect(held).toMatchObject({ holds: true, thickness: expect.closeTo(0.0051, 4) })
    expect(reason(cup, from(DOWN, X, [0, 0, 0.08]))).toBe('a finger hits an object')
  })

  test('a tray is not held by its floor', () => {
    const tray = cupMesh(0.15, 0.03, 0.004)
    for (let z = 0; z < 0.03; z += 0.0005) expect(grade(tray, from(DOWN, X, [0, 0, z], 0.02)).holds).toBe(false)
  })

  test('a plate of 2 mm is held by its edge when it stands, and cannot be reached when it lies', () => {
    expect(reason(boxMesh(0.002, 0.2, 0.2), from(DOWN, X, [0, 0, 0.19], 0.02))).toBe('holds')
    expect(reason(boxMesh(0.2, 0.2, 0.002), from(X, [0, 0, 1], [-0.09, 0, 0.001], 0.02))).toBe('hits the table')
  })

  test('a sheet without thickness is held like a thin plate, whichever way its triangles face', () => {
    const vertices = Float32Array.of(0, -0.1, 0, 0, 0.1, 0, 0, 0.1, 0.2, 0, -0.1, 0.2)
    for (const faces of [
      [0, 1, 2, 0, 2, 3],
      [0, 2, 1, 0, 2, 3],
    ])
      expect(reason({ vertices, faces: Int32Array.from(faces) }, from(DOWN, X, [0, 0, 0.19]))).toBe('holds')
  })
})

describe('several objects', () => {
  const bvh = new Bvh(boxMesh(0.03, 0.03, 0.06))
  const scene = (gap: number) => ({
    objects: [
      { bvh, yaw: 0, position: [0, 0, 0] as Point },
      { bvh, yaw: Math.PI / 6, position: [0.03 + gap, 0, 0] as Point },
    ],
    table: 0,
  })

  test('the object that is held is named, in its own pose', () => {
    const [c, s] = [Math.cos(Math.PI / 6), Math.sin(Math.PI / 6)]
    expect(gradeGrasp(scene(0.3), from(DOWN, X, [0, 0, 0.05]))).toMatchObject({ holds: true, object: 0 })
    expect(gradeGrasp(scene(0.3), from(DOWN, [c, s, 0], [0.33, 0, 0.05]))).toMatchObject({ holds: true, object: 1 })
  })

  test('a neighbour in the way of a finger is a collision, and two objects are never held as one', () => {
    expect(gradeGrasp(scene(0.012), from(DOWN, X, [0, 0, 0.05], 0.05))).toMatchObject({
      reason: 'a finger hits an object',
    })
    expect(gradeGrasp(scene(0.008), from(DOWN, X, [0.019, 0, 0.05]))).toMatchObject({
      reason: 'the fingers meet two objects',
    })
  })
})

test('a smaller friction is a smaller cone', () => {
  const wedge = (slope: number): Mesh => {
    const mesh = boxMesh(0.04, 0.1, 0.08)
    // The top is narrower than the base.
    for (let i = 4; i < 8; i++) mesh.vertices[i * 3] *= 1 - (slope * 0.08) / 0.02
    return mesh
  }
  const pose = from(DOWN, X, [0, 0, 0.05])
  const graded = (friction: number) => gradeGrasp(onTable(new Bvh(wedge(0.2))), pose, { ...PARALLEL_JAW, friction })
  expect(graded(0.3).holds).toBe(true)
  expect(graded(0.1)).toMatchObject({ reason: 'the fingers slip' })
})
