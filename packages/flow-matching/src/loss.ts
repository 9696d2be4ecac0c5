// The conditional flow matching loss: regress the model onto a target that is known for every pair of noise and data.

import { mseLoss, scope, type Tensor } from '@ditkit/core'
import type { PredictionKind } from './convert'
import { interpolate, linearPath, type Path, targetVelocity } from './path'

export interface FlowMatchingOptions {
  /** Noise, of x1's shape. */
  x0: Tensor
  /** One time in [0, 1] for each sample; see `sampleTime`. */
  t: ArrayLike<number>
  /** Default `linearPath`. */
  path?: Path
  /** What the model predicts; default 'velocity'. */
  target?: PredictionKind
}

/** A network to train: (x_t [B, …], the B times) → prediction of x_t's shape. The timestep embedding of a DiT receives 1000·t. */
export type TimedModel = (xt: Tensor, t: number[]) => Tensor

/** mean ‖model(x_t, t) − target‖² over all elements; x1 is data [B, …]. */
export function flowMatchingLoss(model: TimedModel, x1: Tensor, options: FlowMatchingOptions): Tensor {
  const { x0, t, path = linearPath, target = 'velocity' } = options
  return scope(() => {
    const prediction = model(interpolate(path, x0, x1, t), Array.from(t))
    const wanted = target === 'velocity' ? targetVelocity(path, x0, x1, t) : target === 'noise' ? x0 : x1
    return mseLoss(prediction, wanted)
  }, 'flowMatchingLoss')
}
