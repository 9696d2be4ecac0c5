// Grasps as they are seen from a point of the surface that a finger touches: the point's frame has its normal first, then the
// direction closest to up, so that a grasp's vector from there is much the same wherever on whatever object the point is.

import { hostUniform, permutation, type RngKey } from '@ditkit/core'
import { POSE_SIZE } from './pose'

/** The scene's units in one unit of the position and the width of a grasp given from an anchor, which vary less than places do. */
export const ANCHORED_UNIT = 0.3
/** Metres that a right angle between the closing axis and a point's normal counts as, when the point that a finger touches is looked for. */
const RIGHT_ANGLE = 0.04
/** How much a distance along the closing axis counts, beside one across it: how far a finger closes is not known to the vector. */
const ALONG = 0.5

/** Points and their normals, in the model's units. */
export interface Surface {
  readonly points: Float32Array
  readonly normals: Float32Array
}

/** Frames [count] at points of a surface. */
export class AnchorFrames {
  /** [count, 3] and [count, 3, 3]; the columns are the axes. */
  readonly positions: Float32Array
  readonly rotations: Float32Array

  constructor(readonly count: number) {
    this.positions = new Float32Array(count * 3)
    this.rotations = new Float32Array(count * 9)
  }

  /** Frame `index` becomes that of a surface's point `row`. */
  set(index: number, { points, normals }: Surface, row: number): void {
    const [nx, ny, nz] = normals.subarray(row * 3, row * 3 + 3)
    // Up, less what of it is along the normal; where that is next to nothing, the world's x in its place.
    const level = Math.hypot(nx, ny)
    const flat = level < 1e-2
    let [ux, uy, uz] = flat ? [1 - nx * nx, -nx * ny, -nx * nz] : [-nz * nx, -nz * ny, 1 - nz * nz]
    const length = Math.hypot(ux, uy, uz)
    ;[ux, uy, uz] = [ux / length, uy / length, uz / length]
    this.positions.set(points.subarray(row * 3, row * 3 + 3), index * 3)
    this.rotations.set([nx, ux, ny * uz - nz * uy, ny, uy, nz * ux - nx * uz, nz, uz, nx * uy - ny * ux], index * 9)
  }

  /** Frame `index` becomes another's frame `from`. */
  copy(index: number, other: AnchorFrames, from: number): void {
    this.positions.set(other.positions.subarray(from * 3, from * 3 + 3), index * 3)
    this.rotations.set(other.rotations.subarray(from * 9, from * 9 + 9), index * 9)
  }

  /** Turns pose vector `row` (see `writePose`), which is given from frame `index` (or is to be), into the surface's coordinates (or back). */
  move(vectors: Float32Array, row: number, index: number, to: 'anchor' | 'surface'): void {
    const r = this.rotations.subarray(index * 9, index * 9 + 9)
    const p = this.positions.subarray(index * 3, index * 3 + 3)
    const vector = vectors.subarray(row * POSE_SIZE, (row + 1) * POSE_SIZE)
    const scale = to === 'anchor' ? 1 / ANCHORED_UNIT : ANCHORED_UNIT
    if (to === 'anchor') for (let i = 0; i < 3; i++) vector[i] -= p[i]
    for (const i of [0, 1, 2, 9]) vector[i] *= scale
    for (let at = 0; at < 9; at += 3) {
      const [x, y, z] = vector.subarray(at, at + 3)
      for (let i = 0; i < 3; i++)
        vector[at + i] =
          to === 'anchor' ? r[i] * x + r[3 + i] * y + r[6 + i] * z : r[i * 3] * x + r[i * 3 + 1] * y + r[i * 3 + 2] * z
    }
    if (to === 'surface') for (let i = 0; i < 3; i++) vector[i] += p[i]
  }
}

/** The point of a surface that the finger on the side of the closing axis of pose vector `row` touches, as far as can be told. `unit`: metres in one of the model's units. */
export function touchedPoint(
  { points, normals }: Surface,
  vectors: Float32Array,
  row: number,
  clearance: number,
  unit: number,
): number {
  const [px, py, pz, , , , bx, by, bz, width] = vectors.subarray(row * POSE_SIZE, (row + 1) * POSE_SIZE)
  const reach = Math.max(0, width / 2 - clearance / unit)
  const turn = (RIGHT_ANGLE / unit) ** 2
  let best = 0
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < points.length; i += 3) {
    const [x, y, z] = [points[i] - px, points[i + 1] - py, points[i + 2] - pz]
    const along = x * bx + y * by + z * bz
    const across = x * x + y * y + z * z - along * along
    const facing = normals[i] * bx + normals[i + 1] * by + normals[i + 2] * bz
    const cost = across + ALONG * (along - reach) ** 2 + turn * (1 - facing)
    if (cost < least) [least, best] = [cost, i / 3]
  }
  return best
}

/** `count` of so many rows at random; none twice where there are enough. */
export function randomRows(rows: number, count: number, key: RngKey): Int32Array {
  const order = permutation(key, rows)
  return Int32Array.from({ length: count }, (_, i) => order[i % rows])
}

/** Frames at points of a surface. */
export function framesAt(surface: Surface, rows: ArrayLike<number>): AnchorFrames {
  const frames = new AnchorFrames(rows.length)
  for (let i = 0; i < rows.length; i++) frames.set(i, surface, rows[i])
  return frames
}

/** `count` of the rows, each as likely as exp(logit / temperature). */
export function drawRows(logits: ArrayLike<number>, count: number, temperature: number, key: RngKey): Int32Array {
  const most = Array.from(logits).reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  let total = 0
  const sums = Float64Array.from(logits, logit => (total += Math.exp((logit - most) / temperature)))
  return Int32Array.from(hostUniform(key, count), chance => {
    const at = sums.findIndex(sum => sum > chance * total)
    return at < 0 ? sums.length - 1 : at
  })
}
