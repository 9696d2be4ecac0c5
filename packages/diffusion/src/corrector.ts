// The corrector of predictor–corrector sampling: Langevin steps that stay at one noise level.

import { add, mul, normal, type Tensor } from '@ditkit/core'
import { imply } from './implied'
import type { DenoisingModel } from './loss'
import type { SamplerOptions } from './sampler'

/**
 * Predictor–corrector sampling (Song et al., "Score-Based Generative Modeling through SDEs", arXiv:2011.13456, algorithms 4 and 5): before the
 * sampler steps down from a noise level, x ← x + δ·s(x) + √(2δ)·z with z ~ N(0, 1), so many times; the score is s = −ε̂/σ, σ² = 1 − ᾱ, and
 * δ = 2·(snr·σ)². There δ is 2·(snr·‖z‖/‖s‖)², with norms averaged over the batch: σ is what that ratio is where s is the score of the
 * noise, and makes a sample independent of those beside it. Algorithm 5 has a factor 1 − β besides, which is 1 for many steps and would
 * weaken the corrector where few are left. Each Langevin step is one more evaluation of the model.
 */
export interface Corrector {
  /** Langevin steps at each noise level. */
  steps: number
  /** Default 0.16. */
  snr?: number
}

/** x after one Langevin step at the noise level of `step`. */
export function correct(
  model: DenoisingModel,
  x: Tensor,
  step: number,
  correction: number,
  options: SamplerOptions,
): Tensor {
  const { schedule, key } = options
  const { snr } = checkedCorrector(options.corrector)
  const { epsilon } = imply(model, x, new Array<number>(x.shape[0]).fill(step), options)
  const sigma = Math.sqrt(1 - schedule.alphasCumprod[step])
  const size = 2 * (snr * sigma) ** 2
  // The predictor's noise is that of the keys 0 … T.
  const noiseKey = key
    .foldIn(schedule.steps + 1)
    .foldIn(step)
    .foldIn(correction)
  const noise = normal(x.device, x.shape, noiseKey, { dtype: x.dtype })
  return add(x, add(mul(epsilon, -size / sigma), mul(noise, Math.sqrt(2 * size))))
}

/** Throws a RangeError unless steps and snr make sense. */
export function checkedCorrector({ steps, snr = 0.16 }: Corrector = { steps: 0 }): Required<Corrector> {
  if (!Number.isInteger(steps) || steps < 0)
    throw new RangeError(`corrector: steps is ${steps} (expected a whole number ≥ 0)`)
  if (!(snr > 0 && snr < 1)) throw new RangeError(`corrector: snr is ${snr} (expected between 0 and 1)`)
  return { steps, snr }
}
