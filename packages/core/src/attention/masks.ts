// Converts masks of the opposite polarity by name, never by guess.

import { checkDType } from '../ops/operands'
import { logicalNot } from '../ops/unary'
import type { Tensor } from '../tensor'

/**
 * A mask as attention takes it (true = takes part) from one where true means blocked, as `nn.MultiheadAttention`'s `attn_mask`
 * and `key_padding_mask` and the masks of PETR and DETR do. bool, any shape.
 */
export function fromBlockedMask(blocked: Tensor): Tensor {
  checkDType('fromBlockedMask', 'blocked', blocked, 'bool')
  return logicalNot(blocked)
}
