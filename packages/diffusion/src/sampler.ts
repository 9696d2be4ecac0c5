// Samplers: ancestral sampling (DDPM) and its deterministic relative (DDIM; Song et al., arXiv:2010.02502).

import {
  add,
  type Device,
  detach,
  exp,
  mul,
  noGrad,
  normal,
  type RngKey,
  scope,
  scopeAsync,
  type Tensor,
} from '@ditkit/core'
import { type Corrector, checkedCorrector, correct } from './corrector'
import { type Implied, imply } from './implied'
import type { DenoisingModel } from './loss'
import { type DiffusionTarget, posteriorMean } from './process'
import type { DiffusionSchedule } from './schedule'
import { learnedLogVariance } from './variance'

export interface SamplerOptions {
  /** Possibly respaced. */
  schedule: DiffusionSchedule
  /** Noise of every step: the samples are a function of it. */
  key: RngKey
  target?: DiffusionTarget
  variance?: 'fixed' | 'learned-range'
  /** Fixed variance of DDPM: β̃ ('small', default) or β ('large'). */
  fixedVariance?: 'small' | 'large'
  /**
   * Keeps the data that a prediction (guided or not) implies in [−1, 1] at every step: true (default, for pixels) clamps it;
   * `{ quantile }` is dynamic thresholding (Saharia et al., Imagen, arXiv:2205.11487, section 2.3: 0.995): clamp each sample to
   * [−s, s] and divide by s, the quantile of its |x0| where that is above 1. Use false for latents.
   */
  clipData?: boolean | { readonly quantile: number }
  /** Langevin steps before each step of the sampler; default none. */
  corrector?: Corrector
  /** Start from here instead of from noise of `key`. */
  start?: Tensor
  /** After every step; x and the `data` it implies are the sampler's, valid during the call. */
  onStep?: (x: Tensor, step: number, data: Tensor) => void | Promise<void>
}

/** Runs `update` from the last step to the first; (x, step, what the model implies) → x of the step before. */
async function descend(
  device: Device,
  model: DenoisingModel,
  shape: readonly number[],
  options: SamplerOptions,
  update: (xt: Tensor, step: number, implied: Implied) => Tensor,
): Promise<Tensor> {
  const { schedule, key, start, onStep } = options
  if (start && start.shape.join() !== shape.join()) {
    throw new RangeError(`sampling: start has shape [${start.shape.join(', ')}] (expected [${shape.join(', ')}])`)
  }
  const { steps: corrections } = checkedCorrector(options.corrector)
  return scopeAsync(async s => {
    let x = s.run(() => (start ? detach(start) : normal(device, shape, key.foldIn(schedule.steps))))
    for (let step = schedule.steps - 1; step >= 0; step--) {
      for (let correction = 0; correction < corrections; correction++) {
        const corrected = s.run(() => scope(() => noGrad(() => correct(model, x, step, correction, options))))
        x.dispose()
        x = corrected
      }
      const { next, data } = s.run(() =>
        scope(() =>
          noGrad(() => {
            const implied = imply(model, x, new Array<number>(shape[0]).fill(step), options)
            // A handle of its own: the model may have returned a tensor that is its caller's.
            return { next: update(x, step, implied), data: detach(implied.data) }
          }),
        ),
      )
      x.dispose()
      x = next
      await onStep?.(x, step, data)
      data.dispose()
      await device.ready()
    }
    return x
  })
}

/** Ancestral sampling of [B, C, …] from noise: x_{t−1} ~ N(posterior mean of the implied data, variance). */
export function ddpmSample(
  device: Device,
  model: DenoisingModel,
  shape: readonly number[],
  options: SamplerOptions,
): Promise<Tensor> {
  const { schedule, key, fixedVariance = 'small' } = options
  return descend(device, model, shape, options, (xt, step, { data, raw }) => {
    const t = new Array<number>(shape[0]).fill(step)
    const mean = posteriorMean(schedule, data, xt, t)
    if (step === 0) return mean
    const noise = normal(device, shape, key.foldIn(step), { dtype: xt.dtype })
    if (raw) return add(mean, mul(exp(mul(learnedLogVariance(schedule, raw, t), 0.5)), noise))
    const variance = fixedVariance === 'large' ? schedule.betas[step] : schedule.posteriorVariance[step]
    return add(mean, mul(noise, Math.sqrt(variance)))
  })
}

/** DDIM sampling; `eta` 0 (default) is deterministic, 1 has DDPM's variance. */
export function ddimSample(
  device: Device,
  model: DenoisingModel,
  shape: readonly number[],
  options: SamplerOptions & { eta?: number },
): Promise<Tensor> {
  const { schedule, key, eta = 0 } = options
  const { alphasCumprod, alphasCumprodPrev } = schedule
  return descend(device, model, shape, options, (xt, step, { data, epsilon }) => {
    const [a, p] = [alphasCumprod[step], alphasCumprodPrev[step]]
    const sigma = eta * Math.sqrt((1 - p) / (1 - a)) * Math.sqrt(1 - a / p)
    const mean = add(mul(data, Math.sqrt(p)), mul(epsilon, Math.sqrt(Math.max(0, 1 - p - sigma * sigma))))
    if (step === 0 || sigma === 0) return mean
    return add(mean, mul(normal(device, shape, key.foldIn(step), { dtype: xt.dtype }), sigma))
  })
}
