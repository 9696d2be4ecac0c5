// Objects drawn out along their axes: training sees more shapes than there are objects.

import { HouseholdObject } from '../data/objects/objects'
import { Bvh } from './bvh'
import { CLEARANCE, holdsNearby } from './derive'
import { gradeGrasp, onTable } from './grade'
import { PARALLEL_JAW } from './gripper'
import { type GraspPose, poseFromAxes } from './pose'

type Factors = readonly [number, number, number]

/** So many of the object's grasps are tried on the new shape, the first of its spread set. */
const TRIED = 32

/** The object with its extent along x, y and z multiplied, and those of its grasps that hold on it as well. */
export function stretchObject(object: HouseholdObject, factors: Factors): HouseholdObject {
  const { mesh, entry } = object
  const stretched = { ...mesh, vertices: mesh.vertices.map((value, i) => value * factors[i % 3]) }
  const scene = onTable(new Bvh(stretched))
  const grasps = object.grasps.slice(0, TRIED).flatMap(grasp => {
    const moved = stretchGrasp(grasp, factors)
    const grade = gradeGrasp(scene, moved)
    if (!grade.holds) return []
    const { position: p, rotation: r } = moved
    const closing = [r[1], r[4], r[7]]
    // The fingers come with the object in their middle.
    const middle = [0, 1, 2].map(axis => p[axis] + grade.middle * closing[axis]) as [number, number, number]
    const width = Math.min(PARALLEL_JAW.maxOpening, grade.thickness + 2 * CLEARANCE)
    const pose = { ...moved, position: middle, width }
    return holdsNearby(scene, pose) ? [pose] : []
  })
  const scaled = (corner: readonly number[]) =>
    corner.map((value, axis) => value * factors[axis]) as [number, number, number]
  return new HouseholdObject(
    { ...entry, low: scaled(entry.low), high: scaled(entry.high), grasps: grasps.length },
    () => ({ mesh: stretched, grasps }),
  )
}

/** The grasp whose contacts lie on the stretched object where they lay on the object. */
function stretchGrasp({ position, rotation: r, width }: GraspPose, factors: Factors): GraspPose {
  const closing = [r[1], r[4], r[7]].map((value, axis) => value * factors[axis])
  const approach = [r[0], r[3], r[6]]
  // The line between the contacts leads: the approach turns to be at right angles to it.
  const length = Math.hypot(...closing)
  const along = closing.reduce((sum, value, axis) => sum + (value / length) * approach[axis], 0)
  const turned = approach.map((value, axis) => value - (along * closing[axis]) / length)
  const moved = position.map((value, axis) => value * factors[axis]) as [number, number, number]
  return poseFromAxes(moved, turned, closing, Math.min(PARALLEL_JAW.maxOpening, width * length))
}
