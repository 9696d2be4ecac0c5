// From a catalogue's mesh to one in metres that stands on z = 0, centred over the origin, welded and without duplicates.

import type { Mesh } from '@ditkit/scene-collate'
import type { Piece } from './catalogue'

/** Corners nearer than this are one, metres. */
const WELD = 1e-6

/** Turns the mesh as the catalogue says, from y up to z up, and fits it to the catalogue's size, axis by axis as Sweet Home 3D does. */
export function standUp({ vertices, faces }: Mesh, { size, rotation: r }: Piece): Mesh {
  const turned = new Float64Array(vertices.length)
  for (let i = 0; i < vertices.length; i += 3) {
    const [x, y, z] = vertices.subarray(i, i + 3)
    const [tx, ty, tz] = r
      ? [r[0] * x + r[1] * y + r[2] * z, r[3] * x + r[4] * y + r[5] * z, r[6] * x + r[7] * y + r[8] * z]
      : [x, y, z]
    turned.set([tx, -tz, ty], i)
  }
  const { low, high } = boundsOf(turned, faces)
  const scale = size.map((extent, axis) => (high[axis] > low[axis] ? extent / (high[axis] - low[axis]) : 1))
  const fitted = Float32Array.from(turned, (value, i) => (value - low[i % 3]) * scale[i % 3])
  return weld(centre({ vertices: fitted, faces }))
}

/** Moves a mesh onto z = 0, its bounds centred over the origin. */
export function centre({ vertices, faces }: Mesh): Mesh {
  const { low, high } = boundsOf(vertices, faces)
  const origin = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]]
  return { vertices: vertices.map((value, i) => value - origin[i % 3]), faces }
}

/** Of the corners that faces use. */
function boundsOf(vertices: ArrayLike<number>, faces: Int32Array) {
  const low = [Infinity, Infinity, Infinity]
  const high = [-Infinity, -Infinity, -Infinity]
  for (const corner of faces) {
    for (let axis = 0; axis < 3; axis++) {
      low[axis] = Math.min(low[axis], vertices[corner * 3 + axis])
      high[axis] = Math.max(high[axis], vertices[corner * 3 + axis])
    }
  }
  return { low, high }
}

/** Joins equal corners; drops triangles without area and those that occur twice, whichever way they face. */
export function weld({ vertices, faces }: Mesh): Mesh {
  const byPlace = new Map<string, number>()
  const kept: number[] = []
  const joined = new Map<number, number>()
  const place = (corner: number) => {
    const known = joined.get(corner)
    if (known !== undefined) return known
    const point = vertices.subarray(corner * 3, corner * 3 + 3)
    const key = Array.from(point, value => Math.round(value / WELD)).join()
    let index = byPlace.get(key)
    if (index === undefined) {
      index = kept.length / 3
      kept.push(...point)
      byPlace.set(key, index)
    }
    joined.set(corner, index)
    return index
  }
  const seen = new Set<string>()
  const used: number[] = []
  for (let t = 0; t < faces.length; t += 3) {
    const corners = [place(faces[t]), place(faces[t + 1]), place(faces[t + 2])]
    const key = corners.toSorted((a, b) => a - b).join()
    if (new Set(corners).size < 3 || seen.has(key)) continue
    seen.add(key)
    used.push(...corners)
  }
  return { vertices: Float32Array.from(kept), faces: Int32Array.from(used) }
}
