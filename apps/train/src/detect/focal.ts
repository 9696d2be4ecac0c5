// The sigmoid focal loss (Lin et al. 2017, arXiv:1708.02002): what is already told right hardly counts.

import { mul, sigmoid, softplus, square, type Tensor } from '@ditkit/core'

/** Weight of what is there against what is not, and how little the easy counts. */
export const FOCAL = { alpha: 0.25, gamma: 2 } as const

/**
 * Elementwise α_t·(1 − p_t)²·(−log p_t), any shape.
 * @param logits before the sigmoid
 * @param sign of logits' shape: −1 where the category is there, 1 where it is not
 * @param weight broadcast against logits: α_t and whatever else weighs an entry
 */
export function focalLoss(logits: Tensor, sign: Tensor, weight: Tensor): Tensor {
  // p_t = sigmoid(−z), and −log p_t = softplus(z).
  const z = mul(logits, sign)
  return mul(mul(square(sigmoid(z)), softplus(z)), weight)
}
