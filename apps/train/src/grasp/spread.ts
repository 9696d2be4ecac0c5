// Farthest-point selection among grasps: a set in which every grasp found has one near it.

import type { GraspPose } from './pose'

/** Metres that count as much as a turn of a radian. */
const METRES_PER_RADIAN = 0.05

/** How far apart two grasps are, metres: their centres and the turn between them, with the fingers exchanged where that is nearer. */
export function poseDistance(a: GraspPose, b: GraspPose): number {
  const { rotation: r } = a
  const { rotation: s } = b
  const moved = Math.hypot(a.position[0] - b.position[0], a.position[1] - b.position[1], a.position[2] - b.position[2])
  // Cosines between the three pairs of axes; exchanging the fingers turns the second and third over.
  const cosine = (axis: number) => r[axis] * s[axis] + r[3 + axis] * s[3 + axis] + r[6 + axis] * s[6 + axis]
  const trace = cosine(0) + Math.abs(cosine(1) + cosine(2))
  const turned = Math.acos(Math.min(1, Math.max(-1, (trace - 1) / 2)))
  return moved + METRES_PER_RADIAN * turned
}

/** At most `count` of the grasps, the first of them to begin with, then always the one farthest from those taken. */
export function spreadPoses(poses: readonly GraspPose[], count: number): GraspPose[] {
  const taken: GraspPose[] = []
  const nearest = new Float64Array(poses.length).fill(Infinity)
  for (let next = 0; taken.length < Math.min(count, poses.length); ) {
    taken.push(poses[next])
    nearest[next] = -1
    let farthest = 0
    for (let i = 0; i < poses.length; i++) {
      if (nearest[i] >= 0) nearest[i] = Math.min(nearest[i], poseDistance(poses[i], poses[next]))
      if (nearest[i] > nearest[farthest]) farthest = i
    }
    next = farthest
  }
  return taken
}
