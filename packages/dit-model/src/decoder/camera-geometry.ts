// Where points of the scene are in the images of its cameras, and where pixels may be in the scene. A projection [B, n, 3, 4]
// takes a point (x, y, z, 1) of the scene box, 0 … 1 along each axis, to (u·d, v·d, d): u and v are 0 … 1 across the image,
// d is the depth.

import {
  add,
  concat,
  div,
  greater,
  less,
  logicalAnd,
  matmul,
  mul,
  neg,
  reshape,
  slice,
  sub,
  sum,
  type Tensor,
  transpose,
  unsqueeze,
  where,
} from '@ditkit/core'

/** What is nearer than this is not in front of the camera. */
const NEAREST = 1e-5

/**
 * Points [B, Q, 3] in each camera: `uv` [B, n, Q, 2], 0 where they are not in front of it, and bool `visible` [B, n, Q, 1], whether
 * they are within the image.
 */
export function project(points: Tensor, projection: Tensor): { uv: Tensor; visible: Tensor } {
  const image = add(
    matmul(unsqueeze(points, 1), transpose(slice(projection, 3, 0, 3))),
    transpose(slice(projection, 3, 3, 4)),
  )
  const depth = slice(image, 3, 2, 3)
  const ahead = greater(depth, NEAREST)
  const uv = where(ahead, div(slice(image, 3, 0, 2), where(ahead, depth, 1)), 0)
  const inside = [0, 1].map(axis => {
    const x = slice(uv, 3, axis, axis + 1)
    return logicalAnd(greater(x, 0), less(x, 1))
  })
  return { uv, visible: logicalAnd(ahead, logicalAnd(inside[0], inside[1])) }
}

/**
 * Points of the scene along the rays of pixels uv [B or 1, n or 1, K, 2], at depths [S] → [B, n, K, 3·S]: the inverse of
 * `project`, for cameras whose left three columns have an inverse.
 */
export function pointsAlongRays(projection: Tensor, uv: Tensor, depths: Tensor): Tensor {
  const rows = [0, 1, 2].map(row => slice(slice(projection, 2, row, row + 1), 3, 0, 3))
  const perpendicular = [cross(rows[1], rows[2]), cross(rows[2], rows[0]), cross(rows[0], rows[1])]
  const determinant = sum(mul(rows[0], perpendicular[0]), 3, { keepDims: true })
  /** Columns of the inverse, as rows: [B, n, 3, 3]. */
  const inverse = div(concat(perpendicular, 2), determinant)
  const eye = neg(matmul(transpose(slice(projection, 3, 3, 4)), inverse))
  const direction = add(matmul(uv, slice(inverse, 2, 0, 2)), slice(inverse, 2, 2, 3))
  const [batch, cameras, count] = direction.shape
  const along = mul(unsqueeze(direction, 3), reshape(depths, [1, 1, 1, -1, 1]))
  return reshape(add(along, unsqueeze(eye, 3)), [batch, cameras, count, 3 * depths.size])
}

/** a × b along the last axis. */
function cross(a: Tensor, b: Tensor): Tensor {
  const rolled = (x: Tensor, by: number) => concat([slice(x, -1, by), slice(x, -1, 0, by)], -1)
  return sub(mul(rolled(a, 1), rolled(b, 2)), mul(rolled(a, 2), rolled(b, 1)))
}

/**
 * A camera's 12 numbers, row-major, for `cameraProjection`: from a matrix that takes points in metres to pixels times depth ([3, 4] or
 * [4, 4], row-major, as nuScenes' lidar2img), the scene box in metres and the image's size in pixels.
 * @throws RangeError for a matrix of another size, one without an inverse, and an empty box or image.
 */
export function normalizedProjection(
  matrix: ArrayLike<number>,
  box: { low: readonly [number, number, number]; high: readonly [number, number, number] },
  image: { width: number; height: number },
): number[] {
  if (matrix.length !== 12 && matrix.length !== 16)
    throw new RangeError(`normalizedProjection: the matrix has ${matrix.length} numbers, expected 12 or 16`)
  const size = box.high.map((high, axis) => high - box.low[axis])
  if (!size.every(length => length > 0) || !(image.width > 0 && image.height > 0))
    throw new RangeError('normalizedProjection: the box and the image must have a size above 0 along each axis')
  const rows = [image.width, image.height, 1].map((pixels, row) => {
    const at = (column: number) => matrix[4 * row + column] / pixels
    const offset = box.low.reduce((total, low, axis) => total + at(axis) * low, at(3))
    return [...size.map((length, axis) => at(axis) * length), offset]
  })
  const [a, b, c] = rows
  const determinant =
    a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
  if (!(Math.abs(determinant) > 0))
    throw new RangeError('normalizedProjection: the left three columns of the matrix have no inverse')
  return rows.flat()
}
