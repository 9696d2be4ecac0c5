// Normals of a cloud that has none: the direction in which a point's neighbourhood is thinnest (Hoppe et al. 1992, "Surface
// reconstruction from unorganized points").

import { hostNearestPoints } from '@ditkit/core'

export interface NormalOptions {
  /** Points that a neighbourhood holds. Default 16. */
  readonly neighbors?: number
  /** [Q, 3]: where normals are wanted. Default: at each of the points. */
  readonly at?: Float32Array
  /** Where the points were seen from: normals turn towards it. Default: they turn away from the mean of all points. */
  readonly viewpoint?: readonly [number, number, number]
}

/**
 * Unit normals [P, 3] of points [P, 3], or [Q, 3] at places `at` of their surface, from the points nearest to each. A neighbourhood without extent gives (0, 0, 1). Throws a RangeError for fewer than three neighbours, for
 * points that are not finite, and for places where there are no points.
 */
export function estimateNormals(points: Float32Array, options: NormalOptions = {}): Float32Array {
  const { neighbors = 16, at = points, viewpoint } = options
  if (!Number.isInteger(neighbors) || neighbors < 3)
    throw new RangeError(`estimateNormals: neighbors is ${neighbors}, expected a whole number of at least 3`)
  const count = at.length / 3
  if (points.length === 0 && count > 0)
    throw new RangeError(`estimateNormals: normals at ${count} places need points, and there is none`)
  const each = Math.max(1, Math.min(neighbors, points.length / 3))
  const near = hostNearestPoints(at, points, each).indices
  const eye = viewpoint ?? meanOf(points)
  const sense = viewpoint ? 1 : -1
  const normals = new Float32Array(at.length)
  for (let p = 0; p < count; p++) {
    const [x, y, z] = thinnest(points, near.subarray(p * each, (p + 1) * each))
    const towards = x * (eye[0] - at[p * 3]) + y * (eye[1] - at[p * 3 + 1]) + z * (eye[2] - at[p * 3 + 2])
    const sign = towards * sense < 0 ? -1 : 1
    normals.set([sign * x, sign * y, sign * z], p * 3)
  }
  return normals
}

function meanOf(points: Float32Array, indices?: Int32Array): [number, number, number] {
  const mean: [number, number, number] = [0, 0, 0]
  const count = indices?.length ?? points.length / 3
  for (let i = 0; i < count; i++) {
    const at = (indices ? indices[i] : i) * 3
    for (let axis = 0; axis < 3; axis++) mean[axis] += points[at + axis] / count
  }
  return mean
}

/** Eigenvector of the least eigenvalue of the points' covariance, by Jacobi rotations. */
function thinnest(points: Float32Array, indices: Int32Array): [number, number, number] {
  const mean = meanOf(points, indices)
  const a = new Float64Array(9)
  for (const index of indices) {
    const d = [0, 1, 2].map(axis => points[index * 3 + axis] - mean[axis])
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) a[i * 3 + j] += d[i] * d[j]
  }
  const v = Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1)
  const scale = a[0] + a[4] + a[8]
  for (let sweep = 0; sweep < 12; sweep++) {
    if (a[1] ** 2 + a[2] ** 2 + a[5] ** 2 <= 1e-24 * scale ** 2) break
    for (const [i, j] of [
      [0, 1],
      [0, 2],
      [1, 2],
    ] as const)
      rotate(a, v, i, j)
  }
  const least = [0, 1, 2].reduce((best, axis) => (a[axis * 4] < a[best * 4] ? axis : best), 2)
  return [v[least], v[3 + least], v[6 + least]]
}

/** One Jacobi rotation that makes a[i, j] zero; columns of v follow. */
function rotate(a: Float64Array, v: Float64Array, i: number, j: number): void {
  const off = a[i * 3 + j]
  if (off === 0) return
  const theta = (a[j * 4] - a[i * 4]) / (2 * off)
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1))
  const c = 1 / Math.hypot(t, 1)
  const s = t * c
  for (let k = 0; k < 3; k++) {
    const [x, y] = [a[k * 3 + i], a[k * 3 + j]]
    a[k * 3 + i] = c * x - s * y
    a[k * 3 + j] = s * x + c * y
  }
  for (let k = 0; k < 3; k++) {
    const [x, y] = [a[i * 3 + k], a[j * 3 + k]]
    a[i * 3 + k] = c * x - s * y
    a[j * 3 + k] = s * x + c * y
    const [p, q] = [v[k * 3 + i], v[k * 3 + j]]
    v[k * 3 + i] = c * p - s * q
    v[k * 3 + j] = s * p + c * q
  }
}
