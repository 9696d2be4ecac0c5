// The table in a scan of a tabletop, and what stands on it: the largest nearly level plane, found by trying planes through three points
// (RANSAC; Fischler and Bolles 1981) and fitted to all points near it.

import { hostUniform, permutation, type RngKey } from '@ditkit/core'
import { applyTransform, type Scene, type SceneTransform, selectPoints } from '@ditkit/scene-collate'

/** Metres: how far from the plane a point of the table may be, and what may stand on it. */
const NEAR = 0.01
const TALLEST = 0.5
/** Cosine of the most that the table may be tilted. */
const LEVEL = Math.SQRT1_2
/** A gap of this and more, in metres, ends the table; a wall crosses its plane too. */
const CELL = 0.1
/** Points that planes are tried on, and how many planes. */
const SAMPLE = 4096
const TRIES = 400

/** z = a·x + b·y + c */
type Plane = readonly [a: number, b: number, c: number]
type Row = readonly [x: number, y: number, z: number]

/**
 * The points above the table and no more than half a metre high, levelled: the table is at z = 0. `scene` has z up within 45°. Undefined where there is
 * no plane. A function of the key.
 */
export function aboveTable(scene: Scene, key: RngKey): Scene | undefined {
  const [sampleKey, tryKey] = key.split(2)
  const chosen = permutation(sampleKey, scene.points.length / 3).subarray(0, SAMPLE)
  const sample = selectPoints({ points: scene.points }, chosen)
  let plane = largestPlane(sample.points, tryKey)
  if (!plane) return undefined
  for (let round = 0; round < 3; round++) plane = fitted(scene.points, plane)
  const move = levelling(plane)
  const table = rowsOf(applyTransform(sample, move).points).filter(([, , z]) => Math.abs(z) < NEAR)
  const outline = convexHull(largestPatch(table))
  const levelled = applyTransform(scene, move)
  const above: number[] = []
  for (const [i, [x, y, z]] of rowsOf(levelled.points).entries())
    if (z > NEAR && z < TALLEST && isInside(outline, x, y)) above.push(i)
  return selectPoints(levelled, above)
}

function largestPlane(points: Float32Array, key: RngKey): Plane | undefined {
  const count = points.length / 3
  const draws = hostUniform(key, 3 * TRIES)
  let [best, most] = [undefined as Plane | undefined, 0]
  for (let i = 0; i < 3 * TRIES; i += 3) {
    const plane = throughThree(
      points,
      [0, 1, 2].map(j => Math.floor(draws[i + j] * count)),
    )
    if (!plane) continue
    let near = 0
    for (let p = 0; p < points.length; p += 3) if (isNear(plane, points, p)) near++
    if (near > most) [best, most] = [plane, near]
  }
  return best
}

/** Undefined for three that are in line, or a plane that is too steep. */
function throughThree(points: Float32Array, [i, j, k]: number[]): Plane | undefined {
  const side = (to: number) => [0, 1, 2].map(axis => points[3 * to + axis] - points[3 * i + axis])
  const [[ux, uy, uz], [vx, vy, vz]] = [side(j), side(k)]
  const [x, y, z] = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx]
  if (!(Math.abs(z) >= LEVEL * Math.hypot(x, y, z)) || z === 0) return undefined
  const [a, b] = [-x / z, -y / z]
  return [a, b, points[3 * i + 2] - a * points[3 * i] - b * points[3 * i + 1]]
}

/** Least squares over the points near the plane, in z. */
function fitted(points: Float32Array, plane: Plane): Plane {
  const mean = [0, 0, 0]
  let count = 0
  for (let p = 0; p < points.length; p += 3) {
    if (!isNear(plane, points, p)) continue
    count++
    for (let axis = 0; axis < 3; axis++) mean[axis] += (points[p + axis] - mean[axis]) / count
  }
  let [xx, xy, yy, xz, yz] = [0, 0, 0, 0, 0]
  for (let p = 0; p < points.length; p += 3) {
    if (!isNear(plane, points, p)) continue
    const [x, y, z] = [points[p] - mean[0], points[p + 1] - mean[1], points[p + 2] - mean[2]]
    xx += x * x
    xy += x * y
    yy += y * y
    xz += x * z
    yz += y * z
  }
  const determinant = xx * yy - xy * xy
  // Points in line fix no plane.
  if (!(determinant > 1e-9 * xx * yy)) return plane
  const [a, b] = [(xz * yy - yz * xy) / determinant, (yz * xx - xz * xy) / determinant]
  return [a, b, mean[2] - a * mean[0] - b * mean[1]]
}

function isNear([a, b, c]: Plane, points: Float32Array, p: number): boolean {
  return Math.abs(points[p + 2] - a * points[p] - b * points[p + 1] - c) < NEAR * Math.hypot(a, b, 1)
}

/** The shortest turn that levels the plane, then the shift that brings it to z = 0. */
function levelling([a, b, c]: Plane): SceneTransform {
  // Its normal is (−a, −b, 1), its cosine with z the inverse of that length.
  const cosine = 1 / Math.hypot(a, b, 1)
  const [w, x, y] = [1 + cosine, -b * cosine, a * cosine]
  const norm = Math.hypot(w, x, y)
  return { rotation: [w / norm, x / norm, y / norm, 0], scale: 1, translation: [0, 0, -c * cosine] }
}

/** The points in the most of neighbouring cells of a grid on the table. */
function largestPatch(points: readonly Row[]): Row[] {
  const cells = new Map<string, Row[]>()
  for (const point of points) {
    const name = [Math.floor(point[0] / CELL), Math.floor(point[1] / CELL)].join()
    const cell = cells.get(name)
    if (cell) cell.push(point)
    else cells.set(name, [point])
  }
  let largest: Row[] = []
  while (cells.size > 0) {
    const patch: Row[] = []
    const reached = [cells.keys().next().value as string]
    for (let name = reached.pop(); name !== undefined; name = reached.pop()) {
      const cell = cells.get(name)
      if (!cell) continue
      cells.delete(name)
      for (const point of cell) patch.push(point)
      const [i, j] = name.split(',').map(Number)
      for (const di of [-1, 0, 1]) for (const dj of [-1, 0, 1]) reached.push([i + di, j + dj].join())
    }
    if (patch.length > largest.length) largest = patch
  }
  return largest
}

/** Counter-clockwise, by Andrew's monotone chain. */
function convexHull(points: readonly Row[]): Row[] {
  const sorted = points.toSorted((p, q) => p[0] - q[0] || p[1] - q[1])
  const chain = (rows: readonly Row[]) => {
    const hull: Row[] = []
    for (const row of rows) {
      while (hull.length > 1 && turn(hull[hull.length - 2], hull[hull.length - 1], row) <= 0) hull.pop()
      hull.push(row)
    }
    return hull.slice(0, -1)
  }
  return [...chain(sorted), ...chain(sorted.toReversed())]
}

function isInside(hull: readonly Row[], x: number, y: number): boolean {
  return hull.every((corner, i) => turn(corner, hull[(i + 1) % hull.length], [x, y, 0]) >= 0)
}

const turn = (p: Row, q: Row, r: Row) => (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

function rowsOf(points: Float32Array): Row[] {
  return Array.from({ length: points.length / 3 }, (_, i) => [points[3 * i], points[3 * i + 1], points[3 * i + 2]])
}
