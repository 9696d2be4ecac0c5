// Tables with several objects, composed from a key: which objects, where, and turned how. Nothing of them is stored.

import { hostUniform, permutation, type RngKey } from '@ditkit/core'
import { surfaceArea } from '@ditkit/scene-collate'
import { type GraspScene, gradeGrasp } from '../../grasp/grade'
import type { GraspPose } from '../../grasp/pose'
import type { HouseholdObject } from './objects'

export interface Placement {
  readonly object: HouseholdObject
  /** Turn about +z, radians. */
  readonly yaw: number
  /** Of the object's origin, metres; it stands on z = 0. */
  readonly position: readonly [number, number, number]
}

/** Between the bounds of two objects, metres. */
const GAP = 0.02
/** Half the side of the square that centres are drawn from at first, metres; it grows where objects find no room. */
const REACH = 0.15
const GROWTH = 1.05

/** `count` different objects, 2 to 5 unless said otherwise, standing apart from each other: a function of the key. */
export function composeTabletop(objects: readonly HouseholdObject[], key: RngKey, count?: number): Placement[] {
  const [choiceKey, countKey, placeKey] = key.split(3)
  const wanted = Math.min(objects.length, count ?? 2 + Math.floor(hostUniform(countKey, 1)[0] * 4))
  const placed: Placement[] = []
  let reach = REACH
  for (const [i, index] of permutation(choiceKey, objects.length).subarray(0, wanted).entries()) {
    for (let attempt = 0; placed.length === i; attempt++) {
      const [u, v, w] = hostUniform(placeKey.foldIn(i).foldIn(attempt), 3)
      const position = [(2 * u - 1) * reach, (2 * v - 1) * reach, 0] as const
      const candidate: Placement = { object: objects[index], yaw: 2 * Math.PI * w, position }
      if (placed.every(other => apart(candidate, other))) placed.push(candidate)
      else reach *= GROWTH
    }
  }
  return placed
}

/** What the checker needs to know of a table. */
export function sceneOf(placed: readonly Placement[]): GraspScene {
  return { objects: placed.map(({ object, yaw, position }) => ({ bvh: object.bvh, yaw, position })), table: 0 }
}

export interface TabletopSurface {
  /** [count, 3] metres. */
  readonly points: Float32Array
  readonly normals: Float32Array
  /** [count] index of the placement that a point lies on. */
  readonly objects: Int32Array
}

/** `count` points uniform on the objects' surfaces, in the order of the objects: a function of the key. */
export function sampleTabletop(placed: readonly Placement[], count: number, key: RngKey): TabletopSurface {
  const areas = placed.map(({ object }) => surfaceArea(object.mesh))
  const total = areas.reduce((a, b) => a + b, 0)
  const points = new Float32Array(count * 3)
  const normals = new Float32Array(count * 3)
  const objects = new Int32Array(count)
  let [from, area] = [0, 0]
  for (const [i, { object, yaw, position }] of placed.entries()) {
    area += areas[i]
    const to = i === placed.length - 1 ? count : Math.round((count * area) / total)
    if (to === from) continue
    const own = object.sample(to - from, key.foldIn(i))
    for (let p = from; p < to; p++) {
      const at = (p - from) * 3
      const point = turn(own.points.subarray(at, at + 3), yaw)
      points.set([point[0] + position[0], point[1] + position[1], point[2] + position[2]], p * 3)
      normals.set(turn(own.normals.subarray(at, at + 3), yaw), p * 3)
      objects[p] = i
    }
    from = to
  }
  return { points, normals, objects }
}

/** The objects' derived grasps that still hold with the other objects around, each with the placement that it holds. */
export function tabletopGrasps(placed: readonly Placement[]): { pose: GraspPose; object: number }[] {
  const scene = sceneOf(placed)
  return placed.flatMap((placement, object) =>
    placement.object.grasps
      .map(grasp => placeGrasp(grasp, placement))
      .filter(pose => gradeGrasp(scene, pose).holds)
      .map(pose => ({ pose, object })),
  )
}

/** A grasp in the coordinates of an object, in those of the table. */
export function placeGrasp(grasp: GraspPose, { yaw, position: o }: Omit<Placement, 'object'>): GraspPose {
  const r = grasp.rotation
  const columns = [0, 1, 2].map(axis => turn([r[axis], r[3 + axis], r[6 + axis]], yaw))
  const [x, y, z] = turn(grasp.position, yaw)
  return {
    position: [x + o[0], y + o[1], z + o[2]],
    rotation: [0, 1, 2].flatMap(row => columns.map(column => column[row])),
    width: grasp.width,
  }
}

function turn(v: ArrayLike<number>, yaw: number): [number, number, number] {
  const [c, s] = [Math.cos(yaw), Math.sin(yaw)]
  return [c * v[0] - s * v[1], s * v[0] + c * v[1], v[2]]
}

/** Whether the bounds of two objects, seen from above, are at least a gap apart (separating axes). */
function apart(a: Placement, b: Placement): boolean {
  const [dx, dy] = [b.position[0] - a.position[0], b.position[1] - a.position[1]]
  return [a, b].some(({ yaw }) =>
    [yaw, yaw + Math.PI / 2].some(angle => {
      const distance = Math.abs(Math.cos(angle) * dx + Math.sin(angle) * dy)
      return distance >= halfExtent(a, angle) + halfExtent(b, angle) + GAP
    }),
  )
}

/** How far an object's bounds reach from its origin in a direction. */
function halfExtent({ object: { entry }, yaw }: Placement, angle: number): number {
  const [hx, hy] = [(entry.high[0] - entry.low[0]) / 2, (entry.high[1] - entry.low[1]) / 2]
  return Math.abs(Math.cos(angle - yaw)) * hx + Math.abs(Math.sin(angle - yaw)) * hy
}
