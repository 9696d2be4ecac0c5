// Learned variances (Nichol & Dhariwal, arXiv:2102.09672): the model's second half of channels interpolates, in the log domain,
// between the smallest and the largest variance that can be right; it is trained by the variational bound.

import {
  add,
  clamp,
  detach,
  div,
  exp,
  greater,
  less,
  log,
  mean,
  mul,
  neg,
  scope,
  slice,
  square,
  sub,
  type Tensor,
  tanh,
  where,
} from '@ditkit/core'
import { checkSteps, perSample } from './per-sample'
import { convertTarget, type DiffusionTarget, posteriorMean } from './process'
import type { DiffusionSchedule } from './schedule'

/** Splits a learned-range output [B, 2C, …] into the prediction and the raw variance [B, C, …]. */
export function splitVariance(output: Tensor, channels: number): [prediction: Tensor, raw: Tensor] {
  if (output.shape[1] !== 2 * channels) {
    throw new RangeError(
      `learned variance: the model gives ${output.shape[1]} channels (expected ${2 * channels}: the prediction, then the variance)`,
    )
  }
  return [slice(output, 1, 0, channels), slice(output, 1, channels, 2 * channels)]
}

/** log variance [B, C, …] at steps t from the raw output [B, C, …] in [−1, 1]: −1 is β̃, 1 is β. */
export function learnedLogVariance(schedule: DiffusionSchedule, raw: Tensor, t: ArrayLike<number>): Tensor {
  checkSteps('learnedLogVariance', schedule, raw, t)
  const { betas, posteriorLogVariance: low } = schedule
  return scope(() => {
    const middle = perSample(raw, t, i => (Math.log(betas[i]) + low[i]) / 2)
    const half = perSample(raw, t, i => (Math.log(betas[i]) - low[i]) / 2)
    return add(mul(raw, half), middle)
  })
}

/** KL divergence of two normals by mean and log variance, in nats, element by element. */
function normalKl(mean1: Tensor, logVariance1: Tensor, mean2: Tensor, logVariance2: Tensor): Tensor {
  const ratio = sub(logVariance1, logVariance2)
  const distance = mul(square(sub(mean1, mean2)), exp(neg(logVariance2)))
  return mul(add(sub(exp(ratio), ratio), sub(distance, 1)), 0.5)
}

/** Φ(x), in the tanh approximation that DiT's bound is computed with. */
function approximateCdf(x: Tensor): Tensor {
  const inner = mul(add(x, mul(mul(x, square(x)), 0.044715)), Math.sqrt(2 / Math.PI))
  return mul(add(tanh(inner), 1), 0.5)
}

/** log probability of 8-bit data scaled to [−1, 1] under a normal, each value an interval of 2/255. */
function discretizedLogLikelihood(x: Tensor, mean: Tensor, logVariance: Tensor): Tensor {
  const inverse = exp(mul(logVariance, -0.5))
  const centred = sub(x, mean)
  const upper = approximateCdf(mul(inverse, add(centred, 1 / 255)))
  const lower = approximateCdf(mul(inverse, sub(centred, 1 / 255)))
  const safeLog = (p: Tensor) => log(clamp(p, 1e-12, Number.POSITIVE_INFINITY))
  const inside = safeLog(sub(upper, lower))
  return where(less(x, -0.999), safeLog(upper), where(greater(x, 0.999), safeLog(sub(1, lower)), inside))
}

/**
 * The variational bound's term at t in bits per dimension, [B]: KL(q(x_{t−1}|x_t,x_0) ‖ p), and at t = 0 −log p(x_0|x_1). Trains the
 * variance only: the mean is cut off the tape.
 */
export function variationalBound(
  schedule: DiffusionSchedule,
  target: DiffusionTarget,
  prediction: Tensor,
  raw: Tensor,
  x0: Tensor,
  xt: Tensor,
  t: ArrayLike<number>,
): Tensor {
  checkSteps('variationalBound', schedule, x0, t)
  return scope(() => {
    const axes = x0.shape.slice(1).map((_, i) => i + 1)
    const impliedData = convertTarget(schedule, target, 'x0', detach(prediction), xt, t)
    const modelMean = posteriorMean(schedule, impliedData, xt, t)
    const logVariance = learnedLogVariance(schedule, raw, t)
    const trueMean = posteriorMean(schedule, x0, xt, t)
    const trueLogVariance = perSample(x0, t, i => schedule.posteriorLogVariance[i])
    const kl = mean(normalKl(trueMean, trueLogVariance, modelMean, logVariance), axes)
    const nll = neg(mean(discretizedLogLikelihood(x0, modelMean, logVariance), axes))
    const isFirst = x0.device.tensor(
      Uint8Array.from(t, step => (step === 0 ? 1 : 0)),
      [t.length],
      { dtype: 'bool' },
    )
    return div(where(isFirst, nll, kl), Math.LN2)
  })
}
