// Keeps the data that a velocity implies in the range of real data, against the drift of strong guidance.

import { abs, clamp, div, maximum, minimum, neg, quantile, reshape, scope, type Tensor } from '@ditkit/core'
import { convertPrediction } from './convert'
import { linearPath, type Path } from './path'

export interface ClipOptions {
  /** Default `linearPath`. */
  path?: Path
  /**
   * Dynamic thresholding (Saharia et al., Imagen, arXiv:2205.11487, section 2.3: 0.995): clamp each sample's data to [−s, s] and divide by s,
   * the quantile of its magnitudes where that is above 1. Left out: clamp to [−1, 1].
   */
  quantile?: number
}

/**
 * The velocity (guided or not) of a sampler, clipped: x1 = the data that it implies at x_t, clipped to [−1, 1], and the velocity towards
 * that. At t = 1, where x_t is the data, the velocity is left as it is.
 */
export function clipImpliedData(
  velocity: (x: Tensor, t: number) => Tensor,
  options: ClipOptions = {},
): (x: Tensor, t: number) => Tensor {
  const { path = linearPath, quantile: q } = options
  if (q !== undefined && !(q > 0 && q <= 1))
    throw new RangeError(`clipImpliedData: quantile is ${q} (expected above 0, at most 1)`)
  return (x, t) => {
    if (path.sigma(t) === 0) return velocity(x, t)
    return scope(() => {
      const data = convertPrediction(path, 'velocity', 'data', velocity(x, t), x, t)
      const clipped = q === undefined ? clamp(data, -1, 1) : threshold(data, q)
      return convertPrediction(path, 'data', 'velocity', clipped, x, t)
    }, 'clipImpliedData')
  }
}

function threshold(x: Tensor, q: number): Tensor {
  const flat = reshape(x, [x.shape[0], -1])
  const limit = maximum(quantile(abs(flat), q), 1)
  return reshape(div(maximum(minimum(flat, limit), neg(limit)), limit), x.shape)
}
