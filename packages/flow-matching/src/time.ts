// Which times to train at. Esser et al., "Scaling Rectified Flow Transformers" (SD3), arXiv:2403.03206, section 3.1.

import { hostNormal, hostUniform, type RngKey } from '@ditkit/core'

/**
 * - `uniform` in [0, 1).
 * - `logit-normal`: sigmoid(mean + std·n): most often in the middle, where the velocity is hardest to tell.
 * - `cosine`: density 2/(π·(1 − 2t + 2t²)), the weighting of the cosine path ("CosMap").
 */
export type TimeSampler = 'uniform' | 'logit-normal' | 'cosine'

export interface TimeOptions {
  /** Of the logit; default 0. Positive moves towards data (t = 1); SD3 counts time the other way. */
  mean?: number
  /** Of the logit; default 1. */
  std?: number
}

/** `n` times in [0, 1], a function of the key alone. */
export function sampleTime(kind: TimeSampler, key: RngKey, n: number, options: TimeOptions = {}): Float64Array {
  const { mean = 0, std = 1 } = options
  switch (kind) {
    case 'uniform':
      return hostUniform(key, n)
    case 'logit-normal':
      return hostNormal(key, n).map(z => 1 / (1 + Math.exp(-(mean + std * z))))
    case 'cosine':
      return hostUniform(key, n).map(u => 1 - 1 / (Math.tan((Math.PI / 2) * u) + 1))
    default:
      throw new RangeError(`sampleTime: '${kind}' is unknown (expected 'uniform', 'logit-normal' or 'cosine')`)
  }
}
