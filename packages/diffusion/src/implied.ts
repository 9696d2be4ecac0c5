// What a model's output says of the data and the noise in x_t, kept in the range of the data.

import { abs, clamp, div, maximum, minimum, neg, quantile, reshape, type Tensor } from '@ditkit/core'
import type { DenoisingModel } from './loss'
import { convertTarget } from './process'
import type { SamplerOptions } from './sampler'
import { splitVariance } from './variance'

export interface Implied {
  readonly data: Tensor
  readonly epsilon: Tensor
  readonly raw: Tensor | undefined
}

/** Runs the model on x_t [B, …] at the steps t. */
export function imply(model: DenoisingModel, xt: Tensor, t: number[], options: SamplerOptions): Implied {
  const { schedule, target = 'epsilon', variance = 'fixed', clipData = true } = options
  const output = model(
    xt,
    t.map(step => schedule.timesteps[step]),
  )
  const [prediction, raw] = variance === 'fixed' ? [output, undefined] : splitVariance(output, xt.shape[1])
  const free = convertTarget(schedule, target, 'x0', prediction, xt, t)
  const data = clipData === true ? clamp(free, -1, 1) : clipData ? threshold(free, clipData.quantile) : free
  return {
    data,
    raw,
    epsilon: clipData
      ? convertTarget(schedule, 'x0', 'epsilon', data, xt, t)
      : convertTarget(schedule, target, 'epsilon', prediction, xt, t),
  }
}

/** Clamps each sample to [−s, s] and divides it by s ≥ 1, the quantile of its magnitudes. x [B, …]. */
function threshold(x: Tensor, q: number): Tensor {
  const flat = reshape(x, [x.shape[0], -1])
  const limit = maximum(quantile(abs(flat), q), 1)
  return reshape(div(maximum(minimum(flat, limit), neg(limit)), limit), x.shape)
}
