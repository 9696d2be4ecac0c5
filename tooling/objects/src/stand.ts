// From a catalogue's mesh to one in metres that stands on z = 0, centred over the origin, welded and without duplicates.

import type { Mesh } from '@ditkit/scene-collate'
import type { Piece } from './catalogue'

/** Corners nearer than this are one, metres. */
const WELD = 1e-6

/** Turns the mesh as the catalogue says, from y up to z up, and fits it to the catalogue's size, axis by axis as Sweet Home 3D does. */
export function standUp(mesh: Mesh, { size, rotation: r }: Piece): Mesh {
  const count = mesh.vertices.length / 3
  const turned = new Float64Array(count * 3)
  for (let i = 0; i < count; i++) {
    const [x, y, z] = mesh.vertices.subarray(i * 3, i * 3 + 3)
    const [tx, ty, tz] = r
      ? [r[0] * x + r[1] * y + r[2] * z, r[3] * x + r[4] * y + r[5] * z, r[6] * x + r[7] * y + r[8] * z]
      : [x, y, z]
    turned.set([tx, -tz, ty], i * 3)
  }
  const vertices = new Float32Array(count * 3)
  for (let axis = 0; axis < 3; axis++) {
    let [low, high] = [Infinity, -Infinity]
    for (const corner of mesh.faces) {
      low = Math.min(low, turned[corner * 3 + axis])
      high = Math.max(high, turned[corner * 3 + axis])
    }
    const scale = high > low ? size[axis] / (high - low) : 1
    const origin = axis === 2 ? low : (low + high) / 2
    for (let i = 0; i < count; i++) vertices[i * 3 + axis] = (turned[i * 3 + axis] - origin) * scale
  }
  return weld({ vertices, faces: mesh.faces })
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
