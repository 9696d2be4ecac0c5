// A grasp pose and its vector form for models: position, 6-D rotation (Zhou et al. 2019, "On the continuity of rotation
// representations in neural networks") and opening.

/** Numbers in a pose vector: position 3, rotation 6, width 1. */
export const POSE_SIZE = 10

export interface GraspPose {
  /** The grasp centre, between the finger pads; metres. */
  readonly position: readonly [number, number, number]
  /** Row-major 3x3; its columns are the approach, the closing axis and their cross product. */
  readonly rotation: readonly number[]
  /** Distance between the finger pads before they close; metres. */
  readonly width: number
}

/** A pose from its approach and closing axis, which need be neither unit vectors nor perpendicular (Gram-Schmidt). */
export function poseFromAxes(
  position: readonly [number, number, number],
  approach: ArrayLike<number>,
  closing: ArrayLike<number>,
  width: number,
): GraspPose {
  const a = 1 / Math.hypot(approach[0], approach[1], approach[2])
  const [ax, ay, az] = [approach[0] * a, approach[1] * a, approach[2] * a]
  const along = ax * closing[0] + ay * closing[1] + az * closing[2]
  const [bx, by, bz] = [closing[0] - along * ax, closing[1] - along * ay, closing[2] - along * az]
  const b = 1 / Math.hypot(bx, by, bz)
  const [cx, cy, cz] = [bx * b, by * b, bz * b]
  const across = [ay * cz - az * cy, az * cx - ax * cz, ax * cy - ay * cx]
  return { position, rotation: [ax, cx, across[0], ay, cy, across[1], az, cz, across[2]], width }
}

/** Writes a pose as [position, approach, closing axis, width] at `vector[offset …]`. */
export function writePose(pose: GraspPose, vector: Float32Array, offset = 0): void {
  const r = pose.rotation
  vector.set([...pose.position, r[0], r[3], r[6], r[1], r[4], r[7], pose.width], offset)
}

/** The pose of a vector that `writePose` wrote or a model drew. Entries that are not finite stay so. */
export function readPose(vector: ArrayLike<number>, offset = 0): GraspPose {
  const at = (i: number) => vector[offset + i]
  return poseFromAxes([at(0), at(1), at(2)], [at(3), at(4), at(5)], [at(6), at(7), at(8)], at(9))
}

/** The same grasp with the two fingers exchanged: half a turn about the approach. */
export function exchangeFingers({ position, rotation: r, width }: GraspPose): GraspPose {
  return { position, rotation: [r[0], -r[1], -r[2], r[3], -r[4], -r[5], r[6], -r[7], -r[8]], width }
}
