// Selection of points in typed arrays, for those without a device: what the ops of the same names do on one.

import { selectFarthest } from './farthest'
import { type Neighbours, selectNearest } from './nearest'

export interface HostPointOptions {
  /** [P]: 1 takes part. What is 0 is not read. */
  readonly mask?: ArrayLike<number>
}

export interface HostNeighbourOptions extends HostPointOptions {
  /** [Q]: 1 takes part; queries of 0 have no neighbours. */
  readonly queryMask?: ArrayLike<number>
}

/**
 * Farthest-point sampling of positions [P, 3]: the indices of `count` points in the order chosen, fewer where fewer take part. It starts at the point
 * farthest from the centroid; ties go to the first by x, then y, then z, then index, so the order of the points has no influence.
 * Throws a RangeError for sizes that disagree and for a point that takes part and is not finite.
 */
export function hostFarthestPoints(
  positions: Float32Array,
  count: number,
  { mask }: HostPointOptions = {},
): Int32Array {
  checkCount('hostFarthestPoints', count)
  checkPoints('hostFarthestPoints', 'positions', positions, 'mask', mask)
  return selectFarthest(positions, mask, count)
}

/**
 * The `count` nearest of points [P, 3] to each query [Q, 3], nearest first, ties as in `hostFarthestPoints`: indices, squared distances and mask, each
 * [Q, count]. Throws as `hostFarthestPoints` does.
 */
export function hostNearestPoints(
  queries: Float32Array,
  points: Float32Array,
  count: number,
  options: HostNeighbourOptions = {},
): Neighbours {
  return neighbours('hostNearestPoints', queries, points, Number.POSITIVE_INFINITY, count, options)
}

/** The nearest `count` points at most `radius` away from each query; as `hostNearestPoints` else. */
export function hostBallQuery(
  queries: Float32Array,
  points: Float32Array,
  radius: number,
  count: number,
  options: HostNeighbourOptions = {},
): Neighbours {
  return neighbours('hostBallQuery', queries, points, squaredRadius('hostBallQuery', radius), count, options)
}

function neighbours(
  op: string,
  queries: Float32Array,
  points: Float32Array,
  maxSquaredDistance: number,
  count: number,
  { mask, queryMask }: HostNeighbourOptions,
): Neighbours {
  checkCount(op, count)
  checkPoints(op, 'queries', queries, 'queryMask', queryMask)
  checkPoints(op, 'points', points, 'mask', mask)
  return selectNearest(queries, points, queryMask, mask, maxSquaredDistance, count)
}

export function checkCount(op: string, count: number): void {
  if (!Number.isInteger(count) || count < 1)
    throw new RangeError(`${op}: count is ${count} (expected a whole number ≥ 1)`)
}

/** In f32, as distances are, so that a point at exactly the radius is within it. */
export function squaredRadius(op: string, radius: number): number {
  if (!(radius > 0)) throw new RangeError(`${op}: radius is ${radius} (expected a number > 0)`)
  return Math.fround(Math.fround(radius) ** 2)
}

function checkPoints(
  op: string,
  name: string,
  points: Float32Array,
  maskName: string,
  mask: ArrayLike<number> | undefined,
): void {
  if (!(points instanceof Float32Array)) {
    throw new TypeError(
      `${op}: ${name} is not a Float32Array (expected the coordinates x, y, z of one point after another)`,
    )
  }
  const total = points.length / 3
  if (!Number.isInteger(total)) {
    throw new RangeError(
      `${op}: ${name} has ${points.length} numbers (expected a multiple of 3: x, y, z of each point)`,
    )
  }
  if (mask && mask.length !== total) {
    throw new RangeError(`${op}: ${maskName} has ${mask.length} entries but there are ${total} ${name}`)
  }
  for (let i = 0; i < total; i++) {
    if (mask && mask[i] !== 1) {
      if (mask[i] === 0) continue
      throw new RangeError(`${op}: ${maskName}[${i}] is ${mask[i]} (expected 0 or 1)`)
    }
    if (!Number.isFinite(points[3 * i] + points[3 * i + 1] + points[3 * i + 2])) {
      const [x, y, z] = points.subarray(3 * i)
      throw new RangeError(
        `${op}: ${name}[${i}] is (${x}, ${y}, ${z}), which is not finite; leave it out by ${maskName}`,
      )
    }
  }
}
