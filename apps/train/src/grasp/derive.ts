// Grasps from geometry: pairs of surface points that face away from each other, several approaches about each, kept where
// the checker says that they hold, also a little off. They are called derived: nobody has tried them.

import { hostUniform, type RngKey } from '@ditkit/core'
import { type Mesh, sampleSurface } from '@ditkit/scene-collate'
import { Bvh } from './bvh'
import { type GraspScene, gradeGrasp, onTable } from './grade'
import { type Gripper, PARALLEL_JAW } from './gripper'
import { type GraspPose, poseFromAxes } from './pose'
import { spreadPoses } from './spread'

export interface DeriveOptions {
  readonly key: RngKey
  /** Grasps to return at most. Default 256. */
  readonly count?: number
  /** Candidates to try at most. Default 30,000. */
  readonly attempts?: number
  readonly gripper?: Gripper
}

/** On either side of the object when the fingers come, metres, as far as the gripper opens. */
export const CLEARANCE = 0.01
/** The closing axis leans from the surface's normal by up to this, radians, mostly by less; the friction cone's half angle is 0.46. */
const LEAN = 0.25
/** Half of the approaches come from above, within this of the steepest that the closing axis allows, radians; the others from anywhere. */
const STEEP = 0.4
/** Approaches from further below than this, as the z of the approach, are not tried. */
const MOST_UPWARD = 0.1
/** The grasp centre stands back from the contacts by one of these, metres: flat things are held by the finger tips. */
const RETREATS = [0, 0.004, 0.007]
/** A grasp must also hold when moved by this, metres, and turned by this, radians, about each axis either way. */
const SHIFT = 0.003
const TURN = 0.05
/** The same, so many times as far, tells how robust a grasp is. */
const MARGINS = [2, 1.5, 1]
/** So many times more grasps of the largest margin are found than returned, to choose a spread set from. */
const CHOICE = 3
/** The set holds grasps of a smaller margin only where those of a larger one are fewer than this share of it. */
const ENOUGH = 1 / 3

/**
 * Grasps of an object that stands on z = 0: the most robust that were found, spread over the object; fewer than asked for, or none,
 * where few exist.
 */
export function deriveGrasps(mesh: Mesh, options: DeriveOptions): GraspPose[] {
  const { key, count = 256, attempts = 30_000, gripper = PARALLEL_JAW } = options
  const bvh = new Bvh(mesh)
  const scene = onTable(bvh)
  const [surfaceKey, choiceKey] = key.split(2)
  const surface = sampleSurface(mesh, attempts, surfaceKey)
  const normals = surface.fields!.normals.data
  const found: GraspPose[][] = MARGINS.map(() => [])
  for (let i = 0; i < attempts && found[0].length < count * CHOICE; i++) {
    const chance = hostUniform(choiceKey.foldIn(i), 5)
    const point = surface.points.subarray(i * 3, i * 3 + 3)
    const closing = lean(normals.subarray(i * 3, i * 3 + 3), chance[0], chance[1])
    const approach = chance[2] < 0.5 ? steep(closing, chance[3]) : around(closing, 2 * Math.PI * chance[3])
    if (approach[2] > MOST_UPWARD) continue
    const partners = oppositePoints(bvh, point, closing, gripper)
    if (partners.length === 0) continue
    const reach = partners[Math.floor(chance[4] * partners.length)] / 2
    const centre = along(point, closing, reach)
    const grasp = standingBack(scene, centre, approach, closing, Math.abs(reach) * 2, gripper)
    if (grasp) found[MARGINS.findIndex(margin => holdsNearby(scene, grasp, gripper, margin))].push(grasp)
  }
  return spreadPoses(mostRobust(found, count * ENOUGH), count)
}

/** The first lists, as many as it takes to have `enough`. */
function mostRobust(found: readonly GraspPose[][], enough: number): GraspPose[] {
  const chosen: GraspPose[] = []
  for (const grasps of found) {
    if (chosen.length >= enough) break
    chosen.push(...grasps)
  }
  return chosen
}

/** The first of the retreats at which the grasp is robust, with the object in the middle of the fingers. */
function standingBack(
  scene: GraspScene,
  centre: Point,
  approach: Point,
  closing: Point,
  thickness: number,
  gripper: Gripper,
): GraspPose | undefined {
  const widthOf = (clear: number) => Math.min(gripper.maxOpening, clear + 2 * CLEARANCE)
  for (const retreat of RETREATS) {
    const position = along(centre, approach, -retreat)
    const grade = gradeGrasp(scene, poseFromAxes(position, approach, closing, widthOf(thickness)), gripper)
    if (!grade.holds) continue
    const middle = along(position, closing, grade.middle)
    const pose = poseFromAxes(middle, approach, closing, widthOf(grade.thickness))
    if (holdsNearby(scene, pose, gripper)) return pose
  }
  return undefined
}

/** Whether a grasp holds, and still does when it is off by `margin` times 3 mm or 3 degrees along or about any of its axes. */
export function holdsNearby(scene: GraspScene, pose: GraspPose, gripper: Gripper = PARALLEL_JAW, margin = 1): boolean {
  if (!gradeGrasp(scene, pose, gripper).holds) return false
  const { position, rotation: r, width } = pose
  const axes = [0, 1, 2].map(axis => [r[axis], r[3 + axis], r[6 + axis]] as Point)
  for (const axis of axes) {
    for (const sign of [1, -1]) {
      const moved = { ...pose, position: along(position, axis, sign * margin * SHIFT) }
      if (!gradeGrasp(scene, moved, gripper).holds) return false
      const turned = axes.map(other => (other === axis ? axis : along(other, cross(axis, other), sign * margin * TURN)))
      if (!gradeGrasp(scene, poseFromAxes(position, turned[0], turned[1], width), gripper).holds) return false
    }
  }
  return true
}

type Point = [number, number, number]

/** Signed distances along the closing axis to the points where the mesh faces within the friction cone again; 0 for a sheet. */
function oppositePoints(bvh: Bvh, point: Float32Array, closing: Point, { maxOpening, friction }: Gripper): number[] {
  const distances: number[] = []
  let hits = 0
  for (const sign of [1, -1]) {
    const direction: Point = [sign * closing[0], sign * closing[1], sign * closing[2]]
    bvh.visitRay(point, direction, (distance, triangle) => {
      if (distance < 1e-5 || distance > maxOpening) return false
      hits++
      const normal = bvh.normal(triangle)
      const cosine = Math.abs(normal[0] * closing[0] + normal[1] * closing[1] + normal[2] * closing[2])
      if (cosine >= 1 / Math.hypot(1, friction)) distances.push(sign * distance)
      return false
    })
  }
  return hits > 0 ? distances : [0]
}

/** A unit vector within LEAN of `axis`, more often near it. */
function lean(axis: ArrayLike<number>, u: number, v: number): Point {
  const beside = around(axis, 2 * Math.PI * v)
  const [c, s] = [Math.cos(LEAN * u), Math.sin(LEAN * u)]
  return [c * axis[0] + s * beside[0], c * axis[1] + s * beside[1], c * axis[2] + s * beside[2]]
}

/** A unit vector at right angles to `axis`, within STEEP of the one that points down most. */
function steep(axis: Point, u: number): Point {
  const down = along([0, 0, -1], axis, axis[2])
  const length = Math.hypot(...down)
  if (length < 1e-6) return around(axis, 2 * Math.PI * u)
  const beside = cross(axis, down)
  const angle = STEEP * (2 * u - 1)
  const [c, s] = [Math.cos(angle) / length, Math.sin(angle) / length]
  return [c * down[0] + s * beside[0], c * down[1] + s * beside[1], c * down[2] + s * beside[2]]
}

/** The unit vector at right angles to the unit vector `axis`, at `angle` about it. */
export function around(axis: ArrayLike<number>, angle: number): Point {
  const [x, y, z] = [axis[0], axis[1], axis[2]]
  const least = Math.abs(x) < 0.6 ? [1, 0, 0] : [0, 1, 0]
  const first = cross([x, y, z], least)
  const length = Math.hypot(...first)
  const e: Point = [first[0] / length, first[1] / length, first[2] / length]
  const f = cross([x, y, z], e)
  const [c, s] = [Math.cos(angle), Math.sin(angle)]
  return [c * e[0] + s * f[0], c * e[1] + s * f[1], c * e[2] + s * f[2]]
}

function along(point: ArrayLike<number>, axis: ArrayLike<number>, distance: number): Point {
  return [point[0] + distance * axis[0], point[1] + distance * axis[1], point[2] + distance * axis[2]]
}

function cross(a: ArrayLike<number>, b: ArrayLike<number>): Point {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}
