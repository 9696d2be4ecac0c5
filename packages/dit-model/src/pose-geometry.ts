// Where poses are, which way they face, and where other things are as seen from them.

import {
  add,
  concat,
  div,
  matmul,
  mul,
  neg,
  reshape,
  rsqrt,
  slice,
  split,
  sqrt,
  square,
  squeeze,
  stack,
  sub,
  sum,
  type Tensor,
  transpose,
  unsqueeze,
} from '@ditkit/core'

/** How a pose says where it is: x, y, z in its first three numbers, and in the next its rotation, if any. */
export type PoseFrameKind = 'position' | 'rotation-6d' | 'quaternion'

/** Numbers of a pose that its frame takes. */
export const FRAME_CHANNELS: Record<PoseFrameKind, number> = { position: 3, 'rotation-6d': 9, quaternion: 7 }

/** How many vectors (position, columns of the rotation) a pose of a kind starts with. */
export const FRAME_VECTORS: Record<PoseFrameKind, number> = { position: 1, 'rotation-6d': 3, quaternion: 1 }

export interface PoseFrames {
  /** [B, G, 3] */
  readonly positions: Tensor
  /** [B, G, 3, 3], columns are the pose's axes; absent for poses that face nowhere. */
  readonly rotations?: Tensor
}

/** Numbers of `relativeGeometry`. */
export const GEOMETRY_CHANNELS = 7

/** Keeps the direction of nothing, and its gradient, finite. */
const TINY = 1e-8

/**
 * The frames of poses x [B, G, d]; `positionScale`: the points' unit over that of x's positions. Rotations need not be
 * normalised, as those of a noisy sample are not: 'rotation-6d' is two columns, made orthonormal (Zhou et al. 2019,
 * arXiv:1812.07035); 'quaternion' is w, x, y, z.
 */
export function poseFrames(x: Tensor, kind: PoseFrameKind, positionScale: number): PoseFrames {
  const positions = mul(slice(x, 2, 0, 3), positionScale)
  if (kind === 'position') return { positions }
  const rotation = slice(x, 2, 3, FRAME_CHANNELS[kind])
  return { positions, rotations: kind === 'quaternion' ? quaternionRotation(rotation) : sixNumberRotation(rotation) }
}

/** points [B, G, K, 3], or [B, N, 3] for all poses alike → [B, G, K or N, 3] from each pose, along the axes of the world. */
export function offsetsFrom(frames: PoseFrames, points: Tensor): Tensor {
  return sub(points.rank === 3 ? unsqueeze(points, 1) : points, unsqueeze(frames.positions, 2))
}

/** Offsets [B, G, N, 3] along each pose's own axes: Rᵀ·offset. */
export function inFrame({ rotations }: PoseFrames, offsets: Tensor): Tensor {
  return rotations ? matmul(offsets, rotations) : offsets
}

/** Frames that are given in others', one in one, in the coordinates that those are given in. */
export function composed(outer: PoseFrames, inner: PoseFrames): PoseFrames {
  const { positions, rotations } = inner
  return {
    positions: add(outer.positions, squeeze(fromFrame(outer, unsqueeze(positions, 2)), 2)),
    ...(rotations && { rotations: outer.rotations ? matmul(outer.rotations, rotations) : rotations }),
  }
}

/** Vectors [B, G, N, 3] along each pose's own axes, along those of the world: R·vector. */
export function fromFrame({ rotations }: PoseFrames, vectors: Tensor): Tensor {
  return rotations ? matmul(vectors, transpose(rotations, 2, 3)) : vectors
}

/** Offset, direction and distance of points [B, N, 3], or of [B, G, N, 3] of each pose, in each pose's frame → [B, G, N, 7]. */
export function relativeGeometry(frames: PoseFrames, points: Tensor): Tensor {
  const offsets = inFrame(frames, offsetsFrom(frames, points))
  const distance = sqrt(add(sum(square(offsets), -1, { keepDims: true }), TINY))
  return concat([offsets, div(offsets, distance), distance], 3)
}

/**
 * −‖q − p‖² of positions q [B, G, 3] and points p [B, N, 3] as Σ_r query·key: [B, G, 1, 5] and [B, N, 1, 5], exactly, from
 * −‖q‖²·1 − 1·‖p‖² + 2·q·p.
 */
export function distanceFactors({ positions }: PoseFrames, points: Tensor): { query: Tensor; key: Tensor } {
  const norm = (x: Tensor) => sum(square(x), -1, { keepDims: true })
  const ones = (x: Tensor) => x.device.ones([...x.shape.slice(0, 2), 1])
  const query = concat([neg(norm(positions)), neg(ones(positions)), mul(positions, 2)], 2)
  const key = concat([ones(points), norm(points), points], 2)
  return { query: unsqueeze(query, 2), key: unsqueeze(key, 2) }
}

/** Two columns [B, G, 6] → [B, G, 3, 3] by Gram–Schmidt. */
function sixNumberRotation(columns: Tensor): Tensor {
  const first = unit(slice(columns, 2, 0, 3))
  const given = slice(columns, 2, 3, 6)
  const second = unit(sub(given, mul(first, sum(mul(first, given), -1, { keepDims: true }))))
  return stack([first, second, cross(first, second)], 3)
}

/** w, x, y, z [B, G, 4] → [B, G, 3, 3]. */
function quaternionRotation(q: Tensor): Tensor {
  const [w, x, y, z] = split(unit(q), 4, 2)
  const twice = (a: Tensor, b: Tensor) => mul(mul(a, b), 2)
  const [xx, yy, zz] = [twice(x, x), twice(y, y), twice(z, z)]
  const [xy, xz, yz] = [twice(x, y), twice(x, z), twice(y, z)]
  const [wx, wy, wz] = [twice(w, x), twice(w, y), twice(w, z)]
  const rows = [
    [sub(sub(1, yy), zz), sub(xy, wz), add(xz, wy)],
    [add(xy, wz), sub(sub(1, xx), zz), sub(yz, wx)],
    [sub(xz, wy), add(yz, wx), sub(sub(1, xx), yy)],
  ]
  return reshape(concat(rows.flat(), 2), [...q.shape.slice(0, 2), 3, 3])
}

function unit(x: Tensor): Tensor {
  return mul(x, rsqrt(add(sum(square(x), -1, { keepDims: true }), TINY)))
}

/** a × b along the last axis of [B, G, 3]. */
function cross(a: Tensor, b: Tensor): Tensor {
  const rolled = (x: Tensor, by: number) => concat([slice(x, 2, by), slice(x, 2, 0, by)], 2)
  return sub(mul(rolled(a, 1), rolled(b, 2)), mul(rolled(a, 2), rolled(b, 1)))
}
