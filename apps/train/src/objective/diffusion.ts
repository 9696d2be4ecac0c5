// Denoising diffusion: the model learns noise, data or v at uniformly drawn steps; DDPM or DDIM draws.

import { normal, randomInt } from '@ditkit/core'
import { ddimSample, ddpmSample, diffusionLoss, diffusionSchedule, respace } from '@ditkit/diffusion'
import type { Config } from '../config/schema'
import { DYNAMIC_QUANTILE, type Objective } from './objective'

export function diffusionObjective(config: Config['diffusion'], sample: Config['sample']): Objective {
  const { target } = config
  const schedule = diffusionSchedule({ kind: config.schedule, steps: config.steps })
  const drawn = config.sample_steps === undefined ? schedule : respace(schedule, config.sample_steps)
  const draw = config.sampler === 'ddim' ? ddimSample : ddpmSample
  return {
    loss(predict, data, key) {
      const [noiseKey, timeKey, modelKey] = key.split(3)
      const noise = normal(data.device, data.shape, noiseKey)
      const t = randomInt(timeKey, data.shape[0], schedule.steps)
      return diffusionLoss((xt, steps) => predict(xt, steps, modelKey), data, { schedule, t, noise, target })
    },
    progress: t => 1 - t / schedule.steps,
    draw(predict, { noise, key, onStep }) {
      return draw(noise.device, (x, steps) => predict(x, steps), noise.shape, {
        schedule: drawn,
        key,
        target,
        start: noise,
        clipData: config.clip === 'dynamic' ? { quantile: DYNAMIC_QUANTILE } : config.clip === 'clamp',
        corrector: { steps: sample.corrector_steps, snr: sample.corrector_snr },
        ...(onStep && { onStep }),
      })
    },
  }
}
