// A triangle cut by planes along the axes of a frame (Sutherland and Hodgman 1974): which part of it lies in a box.

import type { Mesh } from '@ditkit/scene-collate'
import type { Frame } from './bvh'

/** A triangle cut by six planes has at most nine corners. */
const MOST_CORNERS = 9

/** A convex polygon; one object is used over and over, because the checker cuts many triangles. */
export class Polygon {
  private points = new Float64Array(MOST_CORNERS * 3)
  private spare = new Float64Array(MOST_CORNERS * 3)
  corners = 0

  /** Takes a triangle of a mesh, in the coordinates of `frame`. */
  setTriangle({ vertices, faces }: Mesh, triangle: number, { position: p, rotation: r }: Frame): void {
    this.corners = 3
    for (let corner = 0; corner < 3; corner++) {
      const at = faces[triangle * 3 + corner] * 3
      const [dx, dy, dz] = [vertices[at] - p[0], vertices[at + 1] - p[1], vertices[at + 2] - p[2]]
      for (let axis = 0; axis < 3; axis++)
        this.points[corner * 3 + axis] = r[axis] * dx + r[3 + axis] * dy + r[6 + axis] * dz
    }
  }

  low(axis: number): number {
    let low = Infinity
    for (let i = 0; i < this.corners; i++) low = Math.min(low, this.points[i * 3 + axis])
    return low
  }

  high(axis: number): number {
    let high = -Infinity
    for (let i = 0; i < this.corners; i++) high = Math.max(high, this.points[i * 3 + axis])
    return high
  }

  /** Keeps what lies between two values along an axis. */
  cut(axis: number, from: number, to: number): void {
    this.keep(axis, 1, from)
    this.keep(axis, -1, -to)
  }

  /** Keeps the points with sign · point[axis] ≥ limit. */
  keep(axis: number, sign: 1 | -1, limit: number): void {
    const { points, spare, corners } = this
    let kept = 0
    for (let i = 0; i < corners; i++) {
      const a = i * 3
      const b = (i + 1 === corners ? 0 : i + 1) * 3
      const inside = sign * points[a + axis] - limit
      const next = sign * points[b + axis] - limit
      if (inside >= 0) {
        for (let k = 0; k < 3; k++) spare[kept * 3 + k] = points[a + k]
        kept++
      }
      if (inside >= 0 !== next >= 0) {
        const share = inside / (inside - next)
        for (let k = 0; k < 3; k++) spare[kept * 3 + k] = points[a + k] + share * (points[b + k] - points[a + k])
        spare[kept * 3 + axis] = sign * limit
        kept++
      }
    }
    this.points = spare
    this.spare = points
    this.corners = kept
  }

  /** Twice the area vector; its length is twice the area and its direction the polygon's normal. */
  doubleArea(): [number, number, number] {
    const { points: p, corners } = this
    let [x, y, z] = [0, 0, 0]
    for (let i = 1; i + 1 < corners; i++) {
      const [a, b] = [i * 3, i * 3 + 3]
      const [ux, uy, uz] = [p[a] - p[0], p[a + 1] - p[1], p[a + 2] - p[2]]
      const [vx, vy, vz] = [p[b] - p[0], p[b + 1] - p[1], p[b + 2] - p[2]]
      x += uy * vz - uz * vy
      y += uz * vx - ux * vz
      z += ux * vy - uy * vx
    }
    return [x, y, z]
  }
}
