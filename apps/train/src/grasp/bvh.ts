// A bounding volume hierarchy over the triangles of a mesh: which triangles meet a ray or an oriented box. Nothing is
// assumed of the mesh: it may be open, have inner surfaces and normals of either sign.

import type { Mesh } from '@ditkit/scene-collate'

/** A frame within the mesh's: rotation row-major, its columns the frame's axes. */
export interface Frame {
  readonly position: ArrayLike<number>
  readonly rotation: ArrayLike<number>
}

const LEAF_TRIANGLES = 4

export class Bvh {
  /** Per node: low corner, high corner. */
  private readonly bounds: Float32Array
  /** Per node: for a leaf −1 − its triangle count; else the index of its second child. The first follows its parent. */
  private readonly link: Int32Array
  /** Per leaf node: where its triangles start in `order`. */
  private readonly start: Int32Array
  private readonly order: Uint32Array
  private nodes = 0

  /** Throws when the mesh has no triangle. */
  constructor(readonly mesh: Mesh) {
    const count = mesh.faces.length / 3
    if (count === 0) throw new Error('Bvh: the mesh has no triangle')
    const { vertices, faces } = mesh
    const boxes = new Float32Array(count * 6)
    const centres = new Float32Array(count * 3)
    for (let t = 0; t < count; t++) {
      for (let axis = 0; axis < 3; axis++) {
        const a = vertices[faces[t * 3] * 3 + axis]
        const b = vertices[faces[t * 3 + 1] * 3 + axis]
        const c = vertices[faces[t * 3 + 2] * 3 + axis]
        boxes[t * 6 + axis] = Math.min(a, b, c)
        boxes[t * 6 + 3 + axis] = Math.max(a, b, c)
        centres[t * 3 + axis] = (a + b + c) / 3
      }
    }
    this.order = Uint32Array.from({ length: count }, (_, i) => i)
    this.bounds = new Float32Array(count * 2 * 6)
    this.link = new Int32Array(count * 2)
    this.start = new Int32Array(count * 2)
    this.build(0, count, boxes, centres)
  }

  /** Splits at the median of the longest axis of the triangles' centres. */
  private build(from: number, to: number, boxes: Float32Array, centres: Float32Array): void {
    const node = this.nodes++
    const low = [Infinity, Infinity, Infinity]
    const high = [-Infinity, -Infinity, -Infinity]
    const centreLow = [Infinity, Infinity, Infinity]
    const centreHigh = [-Infinity, -Infinity, -Infinity]
    for (let i = from; i < to; i++) {
      const t = this.order[i]
      for (let axis = 0; axis < 3; axis++) {
        low[axis] = Math.min(low[axis], boxes[t * 6 + axis])
        high[axis] = Math.max(high[axis], boxes[t * 6 + 3 + axis])
        centreLow[axis] = Math.min(centreLow[axis], centres[t * 3 + axis])
        centreHigh[axis] = Math.max(centreHigh[axis], centres[t * 3 + axis])
      }
    }
    this.bounds.set([...low, ...high], node * 6)
    this.start[node] = from
    if (to - from <= LEAF_TRIANGLES) {
      this.link[node] = -1 - (to - from)
      return
    }
    const size = [0, 1, 2].map(axis => centreHigh[axis] - centreLow[axis])
    const axis = size.indexOf(Math.max(...size))
    this.order.subarray(from, to).sort((a, b) => centres[a * 3 + axis] - centres[b * 3 + axis] || a - b)
    const middle = (from + to) >> 1
    this.build(from, middle, boxes, centres)
    this.link[node] = this.nodes
    this.build(middle, to, boxes, centres)
  }

  /**
   * Visits the triangles near a box given in `frame`: all that meet it, and some beside it. Returns true as soon as a visit does.
   * @param box [x0, y0, z0, x1, y1, z1] along the frame's axes
   */
  visitBox(frame: Frame, box: ArrayLike<number>, visit: (triangle: number) => boolean): boolean {
    const { rotation: r, position: p } = frame
    const { bounds, link, start, order } = this
    // The box's own bounds along the mesh's axes.
    const middle = [(box[0] + box[3]) / 2, (box[1] + box[4]) / 2, (box[2] + box[5]) / 2]
    const half = [(box[3] - box[0]) / 2, (box[4] - box[1]) / 2, (box[5] - box[2]) / 2]
    const centre: number[] = []
    const reach: number[] = []
    for (let i = 0; i < 3; i++) {
      centre[i] = p[i] + r[i * 3] * middle[0] + r[i * 3 + 1] * middle[1] + r[i * 3 + 2] * middle[2]
      reach[i] =
        Math.abs(r[i * 3]) * half[0] + Math.abs(r[i * 3 + 1]) * half[1] + Math.abs(r[i * 3 + 2]) * half[2] + 1e-9
    }
    const stack = [0]
    while (stack.length > 0) {
      const node = stack.pop()!
      const at = node * 6
      const dx = (bounds[at] + bounds[at + 3]) / 2 - centre[0]
      const dy = (bounds[at + 1] + bounds[at + 4]) / 2 - centre[1]
      const dz = (bounds[at + 2] + bounds[at + 5]) / 2 - centre[2]
      const hx = (bounds[at + 3] - bounds[at]) / 2
      const hy = (bounds[at + 4] - bounds[at + 1]) / 2
      const hz = (bounds[at + 5] - bounds[at + 2]) / 2
      if (Math.abs(dx) > hx + reach[0] || Math.abs(dy) > hy + reach[1] || Math.abs(dz) > hz + reach[2]) continue
      let apart = false
      for (let axis = 0; axis < 3 && !apart; axis++) {
        const [rx, ry, rz] = [r[axis], r[3 + axis], r[6 + axis]]
        const span = Math.abs(rx) * hx + Math.abs(ry) * hy + Math.abs(rz) * hz + half[axis] + 1e-9
        apart = Math.abs(rx * dx + ry * dy + rz * dz) > span
      }
      if (apart) continue
      if (link[node] >= 0) stack.push(link[node], node + 1)
      else
        for (let i = start[node]; i < start[node] - 1 - link[node]; i++) {
          if (visit(order[i])) return true
        }
    }
    return false
  }

  /**
   * Visits every triangle that the ray meets, from either side and in no order. Returns true as soon as a visit does.
   * @param visit receives the distance in lengths of `direction`, at least 0, and the triangle
   */
  visitRay(
    origin: ArrayLike<number>,
    direction: ArrayLike<number>,
    visit: (distance: number, triangle: number) => boolean,
  ): boolean {
    const { bounds, link, start, order } = this
    // A ray along a plane would make 0 · ∞.
    const inverse = [0, 1, 2].map(axis => 1 / (direction[axis] || 1e-300))
    const stack = [0]
    while (stack.length > 0) {
      const node = stack.pop()!
      let near = 0
      let far = Infinity
      for (let axis = 0; axis < 3; axis++) {
        const a = (bounds[node * 6 + axis] - origin[axis]) * inverse[axis]
        const b = (bounds[node * 6 + 3 + axis] - origin[axis]) * inverse[axis]
        near = Math.max(near, Math.min(a, b))
        far = Math.min(far, Math.max(a, b))
      }
      if (near > far) continue
      if (link[node] >= 0) stack.push(link[node], node + 1)
      else
        for (let i = start[node]; i < start[node] - 1 - link[node]; i++) {
          const distance = this.hit(order[i], origin, direction)
          if (distance >= 0 && visit(distance, order[i])) return true
        }
    }
    return false
  }

  /** Unit normal of a triangle; NaN where it has no area. */
  normal(triangle: number): [number, number, number] {
    const { vertices: p, faces } = this.mesh
    const [a, b, c] = [faces[triangle * 3] * 3, faces[triangle * 3 + 1] * 3, faces[triangle * 3 + 2] * 3]
    const [ux, uy, uz] = [p[b] - p[a], p[b + 1] - p[a + 1], p[b + 2] - p[a + 2]]
    const [vx, vy, vz] = [p[c] - p[a], p[c + 1] - p[a + 1], p[c + 2] - p[a + 2]]
    const [x, y, z] = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx]
    const length = Math.hypot(x, y, z)
    return [x / length, y / length, z / length]
  }

  /** Distance along the ray to a triangle, or −1 (Möller and Trumbore 1997). */
  private hit(triangle: number, origin: ArrayLike<number>, d: ArrayLike<number>): number {
    const { vertices: p, faces } = this.mesh
    const a = faces[triangle * 3] * 3
    const b = faces[triangle * 3 + 1] * 3
    const c = faces[triangle * 3 + 2] * 3
    const [ux, uy, uz] = [p[b] - p[a], p[b + 1] - p[a + 1], p[b + 2] - p[a + 2]]
    const [vx, vy, vz] = [p[c] - p[a], p[c + 1] - p[a + 1], p[c + 2] - p[a + 2]]
    const [hx, hy, hz] = [d[1] * vz - d[2] * vy, d[2] * vx - d[0] * vz, d[0] * vy - d[1] * vx]
    const determinant = ux * hx + uy * hy + uz * hz
    if (determinant === 0) return -1
    const [sx, sy, sz] = [origin[0] - p[a], origin[1] - p[a + 1], origin[2] - p[a + 2]]
    const u = (sx * hx + sy * hy + sz * hz) / determinant
    if (u < 0 || u > 1) return -1
    const [qx, qy, qz] = [sy * uz - sz * uy, sz * ux - sx * uz, sx * uy - sy * ux]
    const v = (d[0] * qx + d[1] * qy + d[2] * qz) / determinant
    if (v < 0 || u + v > 1) return -1
    return (vx * qx + vy * qy + vz * qz) / determinant
  }
}
