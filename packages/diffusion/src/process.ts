// The Gaussian process itself: adding noise, and moving between noise, data and v.

import type { Tensor } from '@ditkit/core'
import { blend, checkSteps } from './per-sample'
import type { DiffusionSchedule } from './schedule'

/** What a model predicts: the noise ε, the data x0, or v = √ᾱ·ε − √(1−ᾱ)·x0 (Salimans & Ho, arXiv:2202.00512). */
export type DiffusionTarget = 'epsilon' | 'x0' | 'v'

/** A sample of q(x_t | x_0) = √ᾱ·x0 + √(1−ᾱ)·noise; x0 and noise [B, …], t B steps. */
export function addNoise(schedule: DiffusionSchedule, x0: Tensor, noise: Tensor, t: ArrayLike<number>): Tensor {
  checkSteps('addNoise', schedule, x0, t)
  const { alphasCumprod: a } = schedule
  return blend('addNoise', t, [x0, i => Math.sqrt(a[i])], [noise, i => Math.sqrt(1 - a[i])])
}

/** What a model of this target should say about (x0, noise) at t, all [B, …]; for 'epsilon' and 'x0' that very tensor. */
export function trueTarget(
  schedule: DiffusionSchedule,
  target: DiffusionTarget,
  x0: Tensor,
  noise: Tensor,
  t: ArrayLike<number>,
): Tensor {
  checkSteps('trueTarget', schedule, x0, t)
  if (target === 'epsilon') return noise
  if (target === 'x0') return x0
  const { alphasCumprod: a } = schedule
  return blend('trueTarget', t, [noise, i => Math.sqrt(a[i])], [x0, i => -Math.sqrt(1 - a[i])])
}

/** x0 and ε that a prediction at x_t implies, each as weights of (prediction, x_t). */
function implied(target: DiffusionTarget, alphaBar: number): { x0: [number, number]; epsilon: [number, number] } {
  const [a, s] = [Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)]
  switch (target) {
    case 'epsilon':
      return { x0: [-s / a, 1 / a], epsilon: [1, 0] }
    case 'x0':
      return { x0: [1, 0], epsilon: [-a / s, 1 / s] }
    default:
      return { x0: [-s, a], epsilon: [a, s] }
  }
}

/** The data (or the noise) that `prediction` implies at x_t, all [B, …]; the prediction itself where it is that already. */
export function convertTarget(
  schedule: DiffusionSchedule,
  from: DiffusionTarget,
  to: 'x0' | 'epsilon',
  prediction: Tensor,
  xt: Tensor,
  t: ArrayLike<number>,
): Tensor {
  checkSteps('convertTarget', schedule, xt, t)
  if (from === to) return prediction
  const { alphasCumprod: a } = schedule
  const weights = (i: number) => implied(from, a[i])[to]
  return blend('convertTarget', t, [prediction, i => weights(i)[0]], [xt, i => weights(i)[1]])
}

/** Mean of q(x_{t−1} | x_t, x_0); x0 and xt [B, …], t B steps. */
export function posteriorMean(schedule: DiffusionSchedule, x0: Tensor, xt: Tensor, t: ArrayLike<number>): Tensor {
  checkSteps('posteriorMean', schedule, xt, t)
  const { betas, alphasCumprod: a, alphasCumprodPrev: p } = schedule
  return blend(
    'posteriorMean',
    t,
    [x0, i => (betas[i] * Math.sqrt(p[i])) / (1 - a[i])],
    [xt, i => ((1 - p[i]) * Math.sqrt(1 - betas[i])) / (1 - a[i])],
  )
}
