// The squared distance between tokens as factors of rank n + 2.

import { concat, mul, neg, reshape, scope, square, sum, type Tensor } from '@ditkit/core'
import type { FactoredBias } from '../factors'
import { type BiasScale, scaled } from './combine'
import { centredPoints, type TokenMasks } from './points'

export interface SquaredDistanceOptions extends TokenMasks {
  /** Default 1. A tensor [H] (per head) or [B|1, Lq, H|1] (per query) may be learned. */
  readonly scale?: BiasScale
}

/**
 * −scale·‖query_i − key_j‖² for points query [B|1, Lq, n] and key [B|1, Lk, n]: factors [B|1, Lq, H|1, n + 2] and
 * [B|1, Lk, 1, n + 2]. In the softmax that is a Gaussian window of variance 1/(2·scale) around each query. Gradients for points and scale.
 *
 * −‖x‖² − ‖y‖² + 2x·y: a near pair is a difference of large numbers, so every entry, also one near zero, has an absolute error of up to
 * about 2e-7 (in f32) of the largest. Coordinates are centred per sample to keep it there. Throws for shapes that do not go together; points
 * and scales that are not finite are reported at the next read.
 */
export function squaredDistanceFactors(query: Tensor, key: Tensor, options: SquaredDistanceOptions = {}): FactoredBias {
  const op = 'squaredDistanceFactors'
  const { scale = 1, ...masks } = options
  return scope(() => {
    const x = centredPoints(op, query, key, masks)
    const squares = (points: Tensor) => sum(square(points), 2, { keepDims: true })
    const ones = (points: Tensor) => points.device.ones([...points.shape.slice(0, 2), 1], { dtype: points.dtype })
    const queryColumns = concat([neg(squares(x.query)), neg(ones(x.query)), mul(x.query, 2)], 2)
    const keyColumns = concat([ones(x.key), squares(x.key), x.key], 2)
    const heads = (t: Tensor) => reshape(t, [t.shape[0], t.shape[1], 1, t.shape[2]])
    return scaled(op, { query: heads(queryColumns), key: heads(keyColumns) }, scale, x.queryMask ?? true)
  }, op)
}
