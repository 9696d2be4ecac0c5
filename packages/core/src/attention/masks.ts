// Converts masks of other conventions to the contract's and back, by name and never by guess: true or 1 takes part, and what
// is added to the scores is a bias.

import { lessEqual } from '../ops/binary'
import { checkDType, checkFloat } from '../ops/operands'
import { logicalNot } from '../ops/unary'
import { where } from '../ops/where'
import { internally } from '../scope'
import type { Tensor } from '../tensor'

/**
 * A mask as attention takes it (true = takes part) from one where true means blocked, as `nn.MultiheadAttention`'s `attn_mask`
 * and `key_padding_mask` and the masks of PETR and DETR do. bool, any shape.
 */
export function fromBlockedMask(blocked: Tensor): Tensor {
  checkDType('fromBlockedMask', 'blocked', blocked, 'bool')
  return logicalNot(blocked)
}

/** The other way: a mask where true means blocked, for code of that convention. bool, any shape. */
export function toBlockedMask(mask: Tensor): Tensor {
  checkDType('toBlockedMask', 'mask', mask, 'bool')
  return logicalNot(mask)
}

/**
 * An additive mask, as PyTorch's float `attn_mask`, taken apart: `mask` (bool) is false where it is −∞, `bias` is the rest, 0 where
 * masked. Only then may the bias be scaled or factored. Some code writes a large negative number for −∞: entries up to
 * `blockedAt` are blocked. Any shape; gradients reach `additive` through `bias`.
 */
export function fromAdditiveMask(
  additive: Tensor,
  { blockedAt = Number.NEGATIVE_INFINITY }: { blockedAt?: number } = {},
): { mask: Tensor; bias: Tensor } {
  checkFloat('fromAdditiveMask', 'additive', additive)
  if (!(blockedAt < 0)) {
    throw new RangeError(`fromAdditiveMask: blockedAt is ${blockedAt} (expected a number below 0, or −Infinity)`)
  }
  return internally(() => {
    // A NaN is no mask: it stays in the bias, where it is seen.
    const mask = logicalNot(lessEqual(additive, blockedAt))
    return { mask, bias: where(mask, additive, 0) }
  })
}

/**
 * One additive mask from both: `bias` (0 without one) where `mask` is true, −∞ where it is false. Shapes broadcast. For code that
 * takes a single float mask; attention takes both as they are.
 */
export function toAdditiveMask(mask: Tensor, bias?: Tensor): Tensor {
  checkDType('toAdditiveMask', 'mask', mask, 'bool')
  if (bias) checkFloat('toAdditiveMask', 'bias', bias)
  return where(mask, bias ?? 0, Number.NEGATIVE_INFINITY)
}
