// Denoising diffusion: the model learns noise, data or v at uniformly drawn steps; DDPM or DDIM draws.

import { normal, randomInt } from '@ditkit/core'
import { ddimSample, ddpmSample, diffusionLoss, diffusionSchedule, respace } from '@ditkit/diffusion'
import type { Config } from '../config/schema'
import type { Objective } from './objective'

export function diffusionObjective(config: Config['diffusion']): Objective {
  const { target } = config
  const schedule = diffusionSchedule({ kind: config.schedule, steps: config.steps })
  const drawn = config.sample_steps === undefined ? schedule : respace(schedule, config.sample_steps)
  const draw = config.sampler === 'ddim' ? ddimSample : ddpmSample
  return {
    loss(model, images, labels, key) {
      const [noiseKey, timeKey, labelKey] = key.split(3)
      const noise = normal(images.device, images.shape, noiseKey)
      const t = randomInt(timeKey, images.shape[0], schedule.steps)
      const predict = (xt: typeof images, steps: number[]) => model.forward(xt, steps, labels, { key: labelKey })
      return diffusionLoss(predict, images, { schedule, t, noise, target })
    },
    draw(model, { noise, labels, guidance, key, onStep }) {
      const predict = (x: typeof noise, steps: number[]) =>
        labels ? model.forwardWithGuidance(x, steps, labels, guidance) : model.forward(x, steps)
      return draw(noise.device, predict, noise.shape, {
        schedule: drawn,
        key,
        target,
        start: noise,
        ...(onStep && { onStep }),
      })
    },
  }
}
