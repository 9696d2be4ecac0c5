// Takes a bias apart into a mask and finite numbers. −Infinity is a mask: it is no number to multiply a learnable scale with, nor
// to approximate by a low rank.

import { logicalAnd, notEqual, scope, scopeAsync, type Tensor, where } from '@ditkit/core'
import { biasTensor, maskTensor } from './bias-shape'
import { surveyBias } from './survey'

export interface SplitBias {
  /** [B|1, H|1, Lq, Lk], finite; 0 where the mask is false. Differentiable. */
  readonly bias: Tensor
  /** bool, of the bias's shape: true where the bias was above −Infinity and the given mask true. Absent when nothing is blocked. */
  readonly mask?: Tensor
}

/** bool [B|1, H|1, Lq, Lk]: where a bias is above −Infinity and the mask, if there is one, true. */
export function allowedPairs(bias: Tensor, mask: Tensor | undefined): Tensor {
  return scope(() => {
    const above = notEqual(bias, Number.NEGATIVE_INFINITY)
    return mask ? logicalAnd(above, mask) : above
  })
}

/**
 * A bias [Lq, Lk] or [B|1, H|1, Lq, Lk] that may hold −Infinity, as a finite bias and a mask, both ready for attention. `mask` (bool, true =
 * may attend, broadcastable to the bias): what it leaves out may hold anything. Says once when a query or a sample may attend to nothing.
 * @throws RangeError for NaN or +Infinity outside the mask, and shapes that do not go together.
 */
export async function splitBias(bias: Tensor, options: { mask?: Tensor } = {}): Promise<SplitBias> {
  const op = 'splitBias'
  return scopeAsync(async s => {
    const whole = s.run(() => biasTensor(op, bias))
    const mask = options.mask && s.run(() => maskTensor(op, options.mask, whole))
    const { blocked } = await surveyBias(op, whole, mask)
    if (!blocked.some(Boolean)) return { bias: whole }
    return s.run(() => {
      const allowed = allowedPairs(whole, mask)
      return { bias: where(allowed, whole, 0), mask: allowed }
    })
  })
}
