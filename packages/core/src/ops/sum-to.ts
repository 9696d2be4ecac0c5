// The gradient of broadcasting: sums a gradient over the axes along which its operand was repeated.

import { sameShape } from '../shape'
import { emptyTensor, type Tensor, viewOf } from '../tensor'

/** `gradient` summed to `shape`, which broadcasts to the gradient's. The gradient itself where nothing was repeated. */
export function sumTo(gradient: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(gradient.shape, shape)) return gradient
  const lead = gradient.rank - shape.length
  const kept = gradient.shape.map((n, axis) => (axis < lead || (shape[axis - lead] === 1 && n !== 1) ? 1 : n))
  const result = emptyTensor(gradient.device, kept, gradient.dtype)
  gradient.device.backend.reduce('sum', gradient, result, false)
  return lead === 0 ? result : viewOf(result, shape, result.strides.slice(lead))
}
