// Polygons in space to triangles: a fan where that is right, ears cut off where the polygon has a dent (npm earcut).

import earcut from 'earcut'

/**
 * Triangles of a polygon, as positions in its list of corners, three per triangle, wound as the polygon is.
 * @param corners vertex numbers, at least 3, around the polygon
 * @param vertices [V, 3]
 */
export function triangulate(corners: readonly number[], vertices: ArrayLike<number>): number[] {
  const fan = Array.from({ length: corners.length - 2 }, (_, i) => [0, i + 1, i + 2])
  if (fan.length === 1) return fan[0]
  const normals = fan.map(triangle =>
    areaVector(
      triangle.map(corner => corners[corner] * 3),
      vertices,
    ),
  )
  const normal = [0, 1, 2].map(axis => normals.reduce((sum, own) => sum + own[axis], 0))
  const size = Math.hypot(...normal)
  const dented = normals.some(
    own => (own[0] * normal[0] + own[1] * normal[1] + own[2] * normal[2]) / size < -1e-6 * size,
  )
  if (!dented) return fan.flat()
  // Seen along the axis that the polygon faces most.
  const away = normal.map(Math.abs).indexOf(Math.max(...normal.map(Math.abs)))
  const [u, v] = [(away + 1) % 3, (away + 2) % 3]
  const ears = earcut(corners.flatMap(corner => [vertices[corner * 3 + u], vertices[corner * 3 + v]]))
  if (ears.length === 0) return fan.flat()
  // Earcut winds all its triangles the same way.
  const turn = areaVector(
    ears.slice(0, 3).map(corner => corners[corner] * 3),
    vertices,
  )
  const same = turn[0] * normal[0] + turn[1] * normal[1] + turn[2] * normal[2] >= 0
  return same ? ears : ears.reverse()
}

/** The cross product of two sides of a triangle, given where its corners start. */
function areaVector([a, b, c]: readonly number[], p: ArrayLike<number>): [number, number, number] {
  const [ux, uy, uz] = [p[b] - p[a], p[b + 1] - p[a + 1], p[b + 2] - p[a + 2]]
  const [vx, vy, vz] = [p[c] - p[a], p[c + 1] - p[a + 1], p[c + 2] - p[a + 2]]
  return [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx]
}
