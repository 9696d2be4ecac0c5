// Would this grasp hold? The gripper comes straight in and must hit neither an object nor the table; its fingers close and
// must meet one object in two antipodal contacts. Forces other than the squeeze (weight, torque) are not considered.

import type { Bvh, Frame } from './bvh'
import { type Contact, closeFingers, type Piece } from './contact'
import { type Box, fingerBox, type Gripper, PARALLEL_JAW, palmBox } from './gripper'
import { Polygon } from './polygon'
import type { GraspPose } from './pose'

/** An object as it stands: turned about the vertical, then moved. */
export interface PlacedMesh {
  readonly bvh: Bvh
  /** Radians about +z. */
  readonly yaw: number
  readonly position: readonly [number, number, number]
}

export interface GraspScene {
  readonly objects: readonly PlacedMesh[]
  /** Height of the table; undefined for an object in free space. */
  readonly table: number | undefined
}

export type Grade = ({ readonly holds: true } & Contact) | { readonly holds: false; readonly reason: string }

/** Metres by which the gripper may reach into an object or the table without counting as a collision. */
export const PENETRATION_TOLERANCE = 0.001

/** One object on a table at z = 0, as its mesh has it. */
export function onTable(bvh: Bvh): GraspScene {
  return { objects: [{ bvh, yaw: 0, position: [0, 0, 0] }], table: 0 }
}

const polygon = new Polygon()

/** Grades a pose in the coordinates of the scene. The pose's width only has to clear the object; more than the gripper can open counts as all it can. */
export function gradeGrasp(scene: GraspScene, pose: GraspPose, gripper: Gripper = PARALLEL_JAW): Grade {
  const fails = (reason: string): Grade => ({ holds: false, reason })
  if (![...pose.position, ...pose.rotation, pose.width].every(Number.isFinite)) return fails('the pose is not finite')
  if (pose.width <= 0) return fails('the gripper is closed')
  const opening = Math.min(pose.width, gripper.maxOpening)
  const palm = shrink(palmBox(gripper))
  const fingers = shrink(fingerBox(gripper, opening))
  if (scene.table !== undefined) {
    const lowest = Math.min(lowestPoint(pose, palm), lowestPoint(pose, fingers))
    if (lowest < scene.table) return fails('hits the table')
  }
  const frames = scene.objects.map(placed => frameIn(placed, pose))
  for (const [i, { bvh }] of scene.objects.entries()) {
    if (meetsBox(bvh, frames[i], palm)) return fails('the palm hits an object')
  }
  // Room between the fingers grows by what their boxes shrank.
  const inner = opening / 2 + PENETRATION_TOLERANCE
  const cutOut = (object: number, triangle: number) => {
    polygon.setTriangle(scene.objects[object].bvh.mesh, triangle, frames[object])
    polygon.cut(0, fingers[0], fingers[3])
    polygon.cut(2, fingers[2], fingers[5])
    return polygon
  }
  const pieces: Piece[] = []
  for (const [object, { bvh }] of scene.objects.entries()) {
    const collides = bvh.visitBox(frames[object], fingers, triangle => {
      const part = cutOut(object, triangle)
      if (part.corners < 3) return false
      const low = part.low(1)
      const high = part.high(1)
      if (low > fingers[4] || high < fingers[1]) return false
      if (low < -inner || high > inner) return true
      pieces.push({ object, triangle, low, high })
      return false
    })
    if (collides) return fails('a finger hits an object')
  }
  const contact = closeFingers(pieces, cutOut, gripper.friction)
  return 'failure' in contact ? fails(contact.failure) : { holds: true, ...contact }
}

function meetsBox(bvh: Bvh, frame: Frame, box: Box): boolean {
  return bvh.visitBox(frame, box, triangle => {
    polygon.setTriangle(bvh.mesh, triangle, frame)
    for (let axis = 0; axis < 3 && polygon.corners > 0; axis++) polygon.cut(axis, box[axis], box[axis + 3])
    return polygon.corners > 0
  })
}

const shrink = (box: Box): Box =>
  [
    ...([0, 1, 2] as const).map(i => box[i] + PENETRATION_TOLERANCE),
    ...([3, 4, 5] as const).map(i => box[i] - PENETRATION_TOLERANCE),
  ] as unknown as Box

/** The least z of a box in a frame. */
function lowestPoint({ position, rotation: r }: Frame, box: Box): number {
  let z = position[2]
  for (let axis = 0; axis < 3; axis++) z += Math.min(r[6 + axis] * box[axis], r[6 + axis] * box[axis + 3])
  return z
}

/** The gripper's frame in the coordinates of an object's mesh. */
function frameIn({ yaw, position: o }: PlacedMesh, { position: p, rotation: r }: GraspPose): Frame {
  const cos = Math.cos(yaw)
  const sin = Math.sin(yaw)
  const back = (x: number, y: number, z: number) => [cos * x + sin * y, cos * y - sin * x, z]
  const columns = [0, 1, 2].map(axis => back(r[axis], r[3 + axis], r[6 + axis]))
  return {
    position: back(p[0] - o[0], p[1] - o[1], p[2] - o[2]),
    rotation: [0, 1, 2].flatMap(row => columns.map(column => column[row])),
  }
}
