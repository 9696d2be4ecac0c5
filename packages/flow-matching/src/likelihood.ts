// log p(x1) of a flow: the change of variables along the ODE, with the divergence estimated by random probes (Hutchinson; Grathwohl et
// al., "FFJORD", arXiv:1810.01367).

import {
  add,
  cast,
  detach,
  enableGrad,
  grad,
  keep,
  less,
  mul,
  noGrad,
  type RngKey,
  scope,
  square,
  sub,
  sum,
  type Tensor,
  uniform,
  where,
} from '@ditkit/core'
import { integrate, type SolverOptions } from './solver'

export interface LikelihoodOptions extends Omit<SolverOptions, 'from' | 'to' | 'times' | 'onStep'> {
  /** Draws the probes; the estimate is a function of the key. */
  key: RngKey
  /** Random sign vectors averaged per evaluation; default 1. The estimate is unbiased for any number. */
  probes?: number
}

/** Σ over all axes but the first. */
function sumSample(x: Tensor): Tensor {
  return x.rank === 1
    ? x
    : sum(
        x,
        x.shape.slice(1).map((_, i) => i + 1),
      )
}

/** Random signs, fixed along the trajectory as FFJORD does, so that the right side stays a smooth function of time. */
function signs(x: Tensor, key: RngKey): Tensor {
  return scope(() => cast(where(less(uniform(x.device, x.shape, key), 0.5), -1, 1), x.dtype))
}

/**
 * Natural-log likelihood [B] of data x1 [B, …] under the flow of `velocity` from a standard normal at t = 0. Estimated: its expectation over
 * keys is exact up to the solver's error. `velocity` must be differentiable in x.
 */
export async function logLikelihood(
  velocity: (x: Tensor, t: number) => Tensor,
  x1: Tensor,
  options: LikelihoodOptions,
): Promise<Tensor> {
  const { key, probes = 1, method = 'dopri5', ...solver } = options
  if (!Number.isInteger(probes) || probes < 1)
    throw new RangeError(`logLikelihood: probes is ${probes} (expected a whole number ≥ 1)`)
  const { device, dtype } = x1
  const batch = x1.shape[0]
  const directions = key.split(probes).map(k => keep(signs(x1, k)))
  const start = keep(device.zeros([batch], { dtype }))
  const derivative = ([x]: readonly Tensor[], t: number) => {
    let divergence: Tensor | undefined
    let slope: Tensor | undefined
    for (const direction of directions) {
      const { v, part } = enableGrad(() => {
        const leaf = detach(x)
        leaf.requiresGrad = true
        const v = velocity(leaf, t)
        const [product] = grad(v, [leaf], direction)
        return { v: detach(v), part: noGrad(() => mul(sumSample(mul(product, direction)), 1 / probes)) }
      })
      slope = v
      divergence = divergence ? add(divergence, part) : part
    }
    return [slope as Tensor, divergence as Tensor]
  }
  try {
    const { state } = await integrate(derivative, [x1, start], { ...solver, method, from: 1, to: 0 })
    const [x0, change] = state
    const dims = x1.size / batch
    const result = scope(() =>
      noGrad(() => add(sub(change, mul(sumSample(square(x0)), 0.5)), (-dims / 2) * Math.log(2 * Math.PI))),
    )
    for (const tensor of state) tensor.dispose()
    return result
  } finally {
    for (const tensor of [start, ...directions]) tensor.dispose()
  }
}

/** −log₂ p per dimension, from `logLikelihood`'s result for samples of `dims` numbers. */
export function bitsPerDim(logLikelihood: Tensor, dims: number): Tensor {
  return mul(logLikelihood, -1 / (dims * Math.LN2))
}
