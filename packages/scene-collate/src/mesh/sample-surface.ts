// Points on the surface of a mesh, uniform by area.

import { hostUniform, type RngKey } from '@ditkit/core'
import type { Scene } from '../scene'
import { SceneError } from '../scene-error'
import type { Mesh } from './mesh'

/**
 * `count` points drawn uniformly from the surface: points [count, 3] and `normals` [count, 3], the unit normals of their triangles by winding
 * order (counter-clockwise seen from outside). Triangles without area are never drawn. A function of the key alone.
 *
 * Throws a SceneError for a face that names no vertex, a vertex that is not finite, and a mesh without any area.
 */
export function sampleSurface(mesh: Mesh, count: number, key: RngKey): Scene {
  const label = meshLabel(mesh)
  if (!Number.isInteger(count) || count < 1)
    throw new RangeError(`sampleSurface: count is ${count}, expected a whole number of at least 1`)
  const { vertices, faces } = mesh
  const cumulative = cumulativeAreas(mesh, label)
  const total = cumulative[cumulative.length - 1] ?? 0
  if (!(total > 0)) {
    const what = faces.length === 0 ? 'there is none' : `none of the ${faces.length / 3} triangles has an area`
    throw new SceneError(label, 'faces', `${what}; a surface is needed to sample from`)
  }
  const draws = hostUniform(key, 3 * count)
  const points = new Float32Array(3 * count)
  const normals = new Float32Array(3 * count)
  for (let i = 0; i < count; i++) {
    const face = firstAbove(cumulative, draws[3 * i] * total)
    // Osada et al., "Shape distributions" (2002): uniform in the triangle.
    const root = Math.sqrt(draws[3 * i + 1])
    const weights = [1 - root, root * (1 - draws[3 * i + 2]), root * draws[3 * i + 2]]
    for (let axis = 0; axis < 3; axis++) {
      let sum = 0
      for (let corner = 0; corner < 3; corner++) sum += weights[corner] * vertices[3 * faces[3 * face + corner] + axis]
      points[3 * i + axis] = sum
    }
    const normal = areaVector(vertices, faces, face)
    const length = Math.hypot(...normal)
    for (let axis = 0; axis < 3; axis++) normals[3 * i + axis] = normal[axis] / length
  }
  return {
    ...(mesh.name !== undefined && { name: mesh.name }),
    points,
    fields: { normals: { data: normals, width: 3, parts: ['direction'] } },
  }
}

/** Total area of the triangles, in the square of the vertices' unit. */
export function surfaceArea(mesh: Mesh): number {
  return cumulativeAreas(mesh, meshLabel(mesh)).at(-1) ?? 0
}

function meshLabel(mesh: Mesh): string {
  return mesh.name ? `mesh ${JSON.stringify(mesh.name)}` : 'mesh'
}

function cumulativeAreas({ vertices, faces }: Mesh, label: string): Float64Array {
  for (let i = 0; i < vertices.length; i++) {
    if (!Number.isFinite(vertices[i]))
      throw new SceneError(label, 'vertices', `vertex ${Math.floor(i / 3)} has ${vertices[i]} in column ${i % 3}`)
  }
  const last = vertices.length / 3 - 1
  for (let i = 0; i < faces.length; i++) {
    if (!(faces[i] >= 0 && faces[i] <= last))
      throw new SceneError(label, 'faces', `face ${Math.floor(i / 3)} names vertex ${faces[i]}, expected 0 to ${last}`)
  }
  const cumulative = new Float64Array(Math.floor(faces.length / 3))
  let sum = 0
  for (let face = 0; face < cumulative.length; face++) {
    sum += Math.hypot(...areaVector(vertices, faces, face)) / 2
    cumulative[face] = sum
  }
  return cumulative
}

/** The cross product of two sides: the normal, twice as long as the triangle's area. */
function areaVector(vertices: Float32Array, faces: Int32Array, face: number): [number, number, number] {
  const [a, b, c] = [3 * faces[3 * face], 3 * faces[3 * face + 1], 3 * faces[3 * face + 2]]
  const [ux, uy, uz] = [vertices[b] - vertices[a], vertices[b + 1] - vertices[a + 1], vertices[b + 2] - vertices[a + 2]]
  const [vx, vy, vz] = [vertices[c] - vertices[a], vertices[c + 1] - vertices[a + 1], vertices[c + 2] - vertices[a + 2]]
  return [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx]
}

/** The first index whose value is above `target`: a triangle without area, whose value equals its predecessor's, is never it. */
function firstAbove(ascending: Float64Array, target: number): number {
  let [low, high] = [0, ascending.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (ascending[middle] > target) high = middle
    else low = middle + 1
  }
  return low
}
