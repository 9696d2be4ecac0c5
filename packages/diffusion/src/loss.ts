// The training loss: mean squared error of the target, plus the variational bound where the variance is learned.

import { add, mean, mseLoss, scope, type Tensor } from '@ditkit/core'
import { checkSteps } from './per-sample'
import { addNoise, type DiffusionTarget, trueTarget } from './process'
import type { DiffusionSchedule } from './schedule'
import { splitVariance, variationalBound } from './variance'

/** A network: (x_t [B, C, …], the B timesteps) → prediction, [B, C, …], or [B, 2C, …] with a learned variance. */
export type DenoisingModel = (xt: Tensor, timesteps: number[]) => Tensor

export interface DiffusionLossOptions {
  schedule: DiffusionSchedule
  /** One step for each sample. */
  t: ArrayLike<number>
  /** Of x0's shape. */
  noise: Tensor
  /** Default 'epsilon'. */
  target?: DiffusionTarget
  /** 'learned-range' adds the variational bound, as DiT with learn_sigma does. Default 'fixed'. */
  variance?: 'fixed' | 'learned-range'
}

/** The loss of data x0 [B, C, …] at steps t; a single element. */
export function diffusionLoss(model: DenoisingModel, x0: Tensor, options: DiffusionLossOptions): Tensor {
  const { schedule, t, noise, target = 'epsilon', variance = 'fixed' } = options
  checkSteps('diffusionLoss', schedule, x0, t)
  return scope(() => {
    const xt = addNoise(schedule, x0, noise, t)
    const output = model(
      xt,
      Array.from(t, step => schedule.timesteps[step]),
    )
    const wanted = trueTarget(schedule, target, x0, noise, t)
    if (variance === 'fixed') return mseLoss(output, wanted)
    const [prediction, raw] = splitVariance(output, x0.shape[1])
    return add(mseLoss(prediction, wanted), mean(variationalBound(schedule, target, prediction, raw, x0, xt, t)))
  }, 'diffusionLoss')
}
