// The checks at the door of every point-cloud encoder.

import type { Tensor } from '@ditkit/core'

/** Throws, naming `owner`, unless points is [B, P, channels] with at least one point and mask bool [B, P]. */
export function checkPoints(owner: string, points: Tensor, mask: Tensor, channels: number): void {
  const [batch, count] = points.shape
  if (points.rank !== 3 || count === 0 || points.shape[2] !== channels)
    throw new RangeError(
      `${owner}: points has shape [${points.shape.join(', ')}], expected [B, P, ${channels}] with P at least 1`,
    )
  checkMask(owner, 'the mask of points', mask, [batch, count])
}

/** Throws, naming `owner` and `name`, unless mask is bool of this shape. */
export function checkMask(owner: string, name: string, mask: Tensor, shape: readonly number[]): void {
  if (mask.dtype !== 'bool' || mask.shape.join() !== shape.join())
    throw new RangeError(
      `${owner}: ${name} is ${mask}, expected bool [${shape.join(', ')}], true where a token takes part`,
    )
}
