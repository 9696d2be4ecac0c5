// Wavefront OBJ: vertices, faces, groups. Materials, textures, curves and lines are passed over.

import type { FaceGroup, Mesh } from '../mesh/mesh'
import { triangulate } from '../mesh/triangulate'
import { SceneError } from '../scene-error'
import { forEachLine, numberOf } from './text-lines'

/** What an OBJ holds: a mesh, and its vertex normals as the file lists them. */
export interface ObjMesh extends Mesh {
  readonly groups: readonly FaceGroup[]
  /**
   * [V, 3] unit normals of the vertices: the mean of the `vn` that the faces' corners name, or, in a file without faces and with
   * one `vn` per `v`, those. Absent unless every vertex of a face has one.
   */
  readonly normals?: Float32Array
}

/**
 * Reads OBJ text. Polygons become triangles, those with dents too; indices may be negative (counted from the end so far), `o` and `g` start a
 * group; a file without faces is a cloud. Throws a SceneError that names file, line and element for what is malformed: a number that is
 * none, an index of no vertex, a face of fewer than three, no vertex at all.
 */
export function parseObj(text: string, name = 'OBJ'): ObjMesh {
  const vertices: number[] = []
  const vertexNormals: number[] = []
  const faces: number[] = []
  const cornerNormals: number[] = []
  const groups: { name: string; first: number }[] = [{ name: '', first: 0 }]

  const corner = (token: string, line: number): [number, number] => {
    const [v, , vn] = token.split('/')
    const vertex = index(v, vertices.length / 3, 'vertex', line)
    return [vertex, vn ? index(vn, vertexNormals.length / 3, 'normal', line) : -1]
  }
  const index = (token: string, count: number, what: string, line: number): number => {
    const value = numberOf(token, name, line, 'f')
    const found = value < 0 ? count + value : value - 1
    if (!Number.isInteger(value) || found < 0 || found >= count)
      throw new SceneError(name, 'f', `line ${line} names ${what} ${token}, but there are ${count} so far`)
    return found
  }
  const triple = (tokens: readonly string[], field: string, line: number, into: number[]) => {
    for (let i = 1; i <= 3; i++) into.push(numberOf(tokens[i], name, line, field))
  }

  let continued = ''
  forEachLine(text, (raw, line) => {
    if (raw.endsWith('\\')) {
      continued += `${raw.slice(0, -1)} `
      return
    }
    const tokens = (continued + raw).replace(/#.*$/, '').trim().split(/\s+/)
    continued = ''
    if (tokens[0] === 'v') triple(tokens, 'v', line, vertices)
    else if (tokens[0] === 'vn') triple(tokens, 'vn', line, vertexNormals)
    else if (tokens[0] === 'o' || tokens[0] === 'g')
      groups.push({ name: tokens.slice(1).join(' '), first: faces.length / 3 })
    else if (tokens[0] === 'f') {
      if (tokens.length < 4)
        throw new SceneError(name, 'f', `line ${line} has ${tokens.length - 1} corners, a face has at least 3`)
      const corners = tokens.slice(1).map(token => corner(token, line))
      const around = corners.map(([vertex]) => vertex)
      for (const at of triangulate(around, vertices)) {
        faces.push(corners[at][0])
        cornerNormals.push(corners[at][1])
      }
    }
  })
  if (vertices.length === 0) throw new SceneError(name, 'v', 'the file has no vertices; is it an OBJ?')
  const normals = normalsOf(vertices.length / 3, faces, cornerNormals, vertexNormals)
  return {
    name,
    vertices: Float32Array.from(vertices),
    faces: Int32Array.from(faces),
    groups: groups
      .map((group, i) => ({ ...group, count: (groups[i + 1]?.first ?? faces.length / 3) - group.first }))
      .filter(group => group.count > 0),
    ...(normals && { normals }),
  }
}

function normalsOf(
  count: number,
  faces: readonly number[],
  cornerNormals: readonly number[],
  vertexNormals: readonly number[],
): Float32Array | undefined {
  if (vertexNormals.length === 0 || cornerNormals.includes(-1)) return undefined
  if (faces.length === 0) return vertexNormals.length === 3 * count ? Float32Array.from(vertexNormals) : undefined
  const normals = new Float32Array(3 * count)
  for (const [i, vertex] of faces.entries())
    for (let axis = 0; axis < 3; axis++) normals[3 * vertex + axis] += vertexNormals[3 * cornerNormals[i] + axis]
  for (let at = 0; at < normals.length; at += 3) {
    const length = Math.hypot(normals[at], normals[at + 1], normals[at + 2])
    if (length > 0) for (let axis = 0; axis < 3; axis++) normals[at + axis] /= length
  }
  return normals
}
