// Flow matching on the straight path: t = 0 is noise, t = 1 is data, and the timestep embedding receives 1000·t.

import { normal } from '@ditkit/core'
import { flowMatchingLoss, odeSolve, sampleTime } from '@ditkit/flow-matching'
import type { Config } from '../config/schema'
import type { Objective } from './objective'

const TIME_SCALE = 1000

export function flowObjective({ time, solver, sample_steps }: Config['flow']): Objective {
  return {
    loss(model, images, labels, key) {
      const [noiseKey, timeKey, labelKey] = key.split(3)
      const x0 = normal(images.device, images.shape, noiseKey)
      const t = sampleTime(time, timeKey, images.shape[0])
      const predict = (xt: typeof images, times: number[]) =>
        model.forward(
          xt,
          times.map(value => TIME_SCALE * value),
          labels,
          { key: labelKey },
        )
      return flowMatchingLoss(predict, images, { x0, t })
    },
    draw(model, { noise, labels, guidance, onStep }) {
      const velocity = (x: typeof noise, t: number) =>
        labels ? model.forwardWithGuidance(x, TIME_SCALE * t, labels, guidance) : model.forward(x, TIME_SCALE * t)
      return odeSolve(velocity, noise, { method: solver, steps: sample_steps, ...(onStep && { onStep }) })
    },
  }
}
