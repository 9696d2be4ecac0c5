// Selection of points: farthest-point sampling, nearest neighbours and ball query. They compute in f32 whatever the device, every step
// rounded, so that all devices choose the same points; what is chosen has no gradient.

import type { CallSite } from '../backend'
import { callSite } from '../call-site'
import { type DType, isFloat } from '../dtype'
import { checkCount, squaredRadius } from '../points/host'
import { program } from '../program'
import { internally } from '../scope'
import { sameShape, showShape } from '../shape'
import { emptyTensor, type Tensor, viewOf } from '../tensor'
import { checkFloat, checkTensor, sharedDevice } from './operands'
import { run, runProgram } from './run-program'

export interface PointOptions {
  /** [B, P], 1 takes part; bool, or i32 or float holding 0 and 1. What it leaves out is never read: it may be NaN. */
  readonly mask?: Tensor
}

export interface NeighbourOptions extends PointOptions {
  /** [B, Q], as `mask`; queries it leaves out have no neighbours. */
  readonly queryMask?: Tensor
}

/** Points chosen from each sample. A slot whose mask is 0 is empty and has index 0. */
export interface FarthestPoints {
  /** i32 [B, count], in the order chosen. */
  readonly indices: Tensor
  /** bool [B, count]: 1 for the first min(count, points that take part). */
  readonly mask: Tensor
}

/** The neighbours of each query. A slot whose mask is 0 is empty and has index 0 and distance 0. */
export interface NearestPoints {
  /** i32 [B, Q, count], nearest first. */
  readonly indices: Tensor
  /** [B, Q, count] of the points' dtype, in their unit squared; not differentiable (gather the points and subtract). */
  readonly squaredDistances: Tensor
  /** bool [B, Q, count]. */
  readonly mask: Tensor
}

/**
 * Farthest-point sampling (PointNet++, arXiv:1706.02413) of points [B, P, 3]: the first is the one farthest from the centroid of those that
 * take part, each next one farthest from all chosen so far. Of equally far ones the first by x, then y, then z is taken (then by index, which
 * only equal points reach), and the centroid is summed exactly: the order of the points has no influence on which are chosen. A point that takes
 * part and is not finite is left out, and rejects the next read. Throws for shapes, dtypes and a `count` below 1.
 */
export function farthestPoints(points: Tensor, count: number, { mask }: PointOptions = {}): FarthestPoints {
  return internally(() => {
    const op = 'farthestPoints'
    checkCount(op, count)
    const device = sharedDevice(op, mask ? [points, mask] : [points])
    const cloud = usable(op, 'points', points, 'mask', mask, callSite(op, farthestPoints))
    const result = {
      indices: emptyTensor(device, [points.shape[0], count], 'i32'),
      mask: emptyTensor(device, [points.shape[0], count], 'bool'),
    }
    device.backend.farthestPoints(cloud.points, cloud.mask, result.indices, result.mask)
    return result
  })
}

/**
 * The `count` nearest points [B, P, 3] of each query [B, Q, 3], nearest first; ties and errors as in `farthestPoints`. Distances are
 * (dx·dx + dy·dy) + dz·dz in f32.
 */
export function nearestPoints(
  queries: Tensor,
  points: Tensor,
  count: number,
  options: NeighbourOptions = {},
): NearestPoints {
  const site = callSite('nearestPoints', nearestPoints)
  return neighbours(site, queries, points, Number.POSITIVE_INFINITY, count, options)
}

/** The nearest `count` points at most `radius` away (in the unit of the points) from each query; as `nearestPoints` else. */
export function ballQuery(
  queries: Tensor,
  points: Tensor,
  radius: number,
  count: number,
  options: NeighbourOptions = {},
): NearestPoints {
  const site = callSite('ballQuery', ballQuery)
  return neighbours(site, queries, points, squaredRadius('ballQuery', radius), count, options)
}

function neighbours(
  site: CallSite,
  queries: Tensor,
  points: Tensor,
  maxSquaredDistance: number,
  count: number,
  { mask, queryMask }: NeighbourOptions,
): NearestPoints {
  const { op } = site
  return internally(() => {
    checkCount(op, count)
    const device = sharedDevice(op, [queries, points, ...(mask ? [mask] : []), ...(queryMask ? [queryMask] : [])])
    const from = usable(op, 'queries', queries, 'queryMask', queryMask, site)
    const to = usable(op, 'points', points, 'mask', mask, site)
    if (queries.shape[0] !== points.shape[0] || queries.dtype !== points.dtype) {
      throw new RangeError(
        `${op}: queries are ${queries.dtype} ${showShape(queries.shape)} but points ${points.dtype} ${showShape(points.shape)} ` +
          '(expected one dtype, [B, Q, 3] and [B, P, 3])',
      )
    }
    const shape = [...queries.shape.slice(0, 2), count]
    const result = {
      indices: emptyTensor(device, shape, 'i32'),
      squaredDistances: emptyTensor(device, shape, points.dtype),
      mask: emptyTensor(device, shape, 'bool'),
    }
    const distances = points.dtype === 'f32' ? result.squaredDistances : emptyTensor(device, shape, 'f32')
    device.backend.nearestPoints(
      from.points,
      to.points,
      from.mask,
      to.mask,
      maxSquaredDistance,
      result.indices,
      distances,
      result.mask,
    )
    if (distances !== result.squaredDistances) device.backend.copy(distances, result.squaredDistances)
    return result
  })
}

const FINITE = program('finite points', 3, 0, (b, x, y, z) => b.and(b.isFinite(x), b.and(b.isFinite(y), b.isFinite(z))))
const FINITE_MASKED = program('finite masked points', 4, 0, (b, x, y, z, mask) => {
  const finite = b.and(b.isFinite(x), b.and(b.isFinite(y), b.isFinite(z)))
  return [b.and(mask, finite), b.or(b.not(mask), finite)]
})
const IS_BINARY = program('0 or 1', 1, 0, (b, x) => b.or(b.eq(x, b.constant(0)), b.eq(x, b.constant(1))))

/** The points in f32, and which of them take part and are finite, bool [B, P]; reports what takes part and is not. */
function usable(
  op: string,
  name: string,
  given: Tensor,
  maskName: string,
  mask: Tensor | undefined,
  site: CallSite,
): { points: Tensor; mask: Tensor } {
  checkFloat(op, name, given)
  if (given.rank !== 3 || given.shape[2] !== 3) {
    throw new RangeError(
      `${op}: ${name} has shape ${showShape(given.shape)} (expected [B, ${name[0].toUpperCase()}, 3])`,
    )
  }
  const { backend } = given.device
  const shape = given.shape.slice(0, 2)
  const points = inDType(given, 'f32')
  const along = [0, 1, 2].map(axis =>
    viewOf(points, shape, points.strides.slice(0, 2), points.byteOffset + 4 * axis * points.strides[2]),
  )
  const message = `${name} holds a value that is not finite${mask ? '' : ` (leave such points out by ${maskName})`}`
  if (!mask) {
    const finite = run(FINITE, along, [], 'bool')
    backend.check(finite, site, message)
    return { points, mask: finite }
  }
  const parts = asBool(op, maskName, mask, shape, site)
  const [taken, fine] = runProgram(FINITE_MASKED, [...along, parts], [], [{ dtype: 'bool' }, { dtype: 'bool' }])
  backend.check(fine, site, message)
  return { points, mask: taken }
}

function asBool(op: string, name: string, mask: Tensor, shape: readonly number[], site: CallSite): Tensor {
  checkTensor(op, name, mask)
  if (!sameShape(mask.shape, shape)) {
    throw new RangeError(`${op}: ${name} has shape ${showShape(mask.shape)} (expected ${showShape(shape)})`)
  }
  if (mask.dtype === 'bool') return mask
  if (mask.dtype !== 'i32' && !isFloat(mask.dtype))
    throw new TypeError(`${op}: ${name} is ${mask.dtype} (expected bool)`)
  mask.device.backend.check(run(IS_BINARY, [mask], [], 'bool'), site, `${name} holds a value other than 0 and 1`)
  return inDType(mask, 'bool')
}

function inDType(x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return x
  const copy = emptyTensor(x.device, x.shape, dtype)
  x.device.backend.copy(x, copy)
  return copy
}
