// Flow matching on the straight path: t = 0 is noise, t = 1 is data, and the timestep embedding receives 1000·t.

import { normal, type Tensor } from '@ditkit/core'
import { flowMatchingLoss, odeSolve, sampleTime } from '@ditkit/flow-matching'
import type { Config } from '../config/schema'
import type { Objective, Predict } from './objective'

const TIME_SCALE = 1000

/** The same model, taking t in [0, 1]. */
const scaled =
  (predict: Predict): Predict =>
  (x, t, key) =>
    predict(x, typeof t === 'number' ? TIME_SCALE * t : t.map(value => TIME_SCALE * value), key)

export function flowObjective({ time, solver, sample_steps }: Config['flow']): Objective {
  return {
    loss(predict, data, key) {
      const [noiseKey, timeKey, modelKey] = key.split(3)
      const x0 = normal(data.device, data.shape, noiseKey)
      const t = sampleTime(time, timeKey, data.shape[0])
      return flowMatchingLoss((xt, times) => scaled(predict)(xt, times, modelKey), data, { x0, t })
    },
    draw(predict, { noise, onStep }) {
      const velocity = (x: Tensor, t: number) => scaled(predict)(x, t)
      return odeSolve(velocity, noise, { method: solver, steps: sample_steps, ...(onStep && { onStep }) })
    },
  }
}
