// Small integer tensors whose values the host still knows because it uploaded them: offsets and the like, which some ops
// need to see before the device has caught up.

import type { Storage } from './storage'
import type { Tensor } from './tensor'

/** Above this nothing is remembered: such a tensor is data, not a description of it. */
const MOST_VALUES = 65_536

const known = new WeakMap<Storage, Int32Array>()

/** Remembers the values a fresh i32 tensor was made of. */
export function rememberValues(storage: Storage, values: Int32Array): void {
  if (values.length <= MOST_VALUES) known.set(storage, values.slice())
}

/** The values of an i32 tensor, or undefined when they were computed on the device or overwritten since. */
export function hostValues(tensor: Tensor): Int32Array | undefined {
  const values = known.get(tensor.storage)
  if (!values || tensor.dtype !== 'i32' || !tensor.contiguous || tensor.version > 0) return undefined
  const start = tensor.byteOffset / values.BYTES_PER_ELEMENT
  return values.subarray(start, start + tensor.size)
}
