// The sigmoid focal loss (Lin et al. 2017, arXiv:1708.02002): what is already told right hardly counts.

import { abs, add, exp, log, mul, sigmoid, square, type Tensor } from '@ditkit/core'

/** Weight of what is there against what is not, and how little the easy counts. */
export const FOCAL = { alpha: 0.25, gamma: 2 } as const

/**
 * Elementwise α_t·(1 − p_t)²·(−log p_t), any shape.
 * @param logits before the sigmoid
 * @param sign of logits' shape: −1 where the category is there, 1 where it is not
 * @param weight broadcast against logits: α_t and whatever else weighs an entry
 */
export function focalLoss(logits: Tensor, sign: Tensor, weight: Tensor): Tensor {
  // p_t = sigmoid(−z).
  const z = mul(logits, sign)
  const size = abs(z)
  // softplus(z), written so that neither it nor its gradient at 0 is off.
  const softplus = add(mul(add(z, size), 0.5), log(add(exp(mul(size, -1)), 1)))
  return mul(mul(square(sigmoid(z)), softplus), weight)
}
