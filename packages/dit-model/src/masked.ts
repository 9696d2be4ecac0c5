// Tokens with a mask (true takes part): padding is cleared by selection, never by multiplication, since 0·NaN is NaN; and
// means and maxima over what is left.

import { cast, clamp, div, greater, max, notEqual, sum, type Tensor, unsqueeze, where } from '@ditkit/core'

/** x [..., N, C] with 0 where mask [..., N] is false, whatever stood there; its gradient there is 0. */
export function clearPadding(x: Tensor, mask: Tensor): Tensor {
  return where(unsqueeze(mask, -1), x, 0)
}

/** The maximum of x [..., N, C] over the tokens that mask [..., N] names → [..., C]; 0 where it names none. */
export function maskedMax(x: Tensor, mask: Tensor): Tensor {
  const top = max(where(unsqueeze(mask, -1), x, Number.NEGATIVE_INFINITY), -2)
  return where(notEqual(top, Number.NEGATIVE_INFINITY), top, 0)
}

/** The mean of x [B, N, C] over the tokens that mask [B, N] names → [B, C]; 0 where it names none. */
export function maskedMean(x: Tensor, mask: Tensor): Tensor {
  const count = sum(cast(mask, x.dtype), 1, { keepDims: true })
  return div(sum(clearPadding(x, mask), 1), clamp(count, 1, mask.shape[1]))
}

/** bool [B, 1]: whether mask [B, N] names a token. */
export function anyValid(mask: Tensor): Tensor {
  return greater(sum(cast(mask, mask.device.floatDType), 1, { keepDims: true }), 0)
}
