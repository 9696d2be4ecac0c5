// Neighbours for a maximum to be taken over.

import { type NearestPoints, slice, type Tensor, where } from '@ditkit/core'

/**
 * Indices [B, Q, count] in which the nearest neighbour takes the slots of those there are not (as in PointNet++): a maximum over them needs no
 * mask, and their gradients add up to its own. A query without any neighbour has point 0 in all.
 */
export function nearestInEmptySlots({ indices, mask }: NearestPoints): Tensor {
  return where(mask, indices, slice(indices, 2, 0, 1))
}
