// Operands as typed arrays. Every reference primitive loads its inputs into contiguous float64 arrays, computes, and
// stores once: that is where the only rounding happens.

import type { DType, HostArray } from '../dtype'
import { type Shape, sizeOf } from '../shape'

/** An operand whose memory was looked up: element (i, j, …) is data[start + i·strides[0] + j·strides[1] + …]. */
export interface View {
  readonly data: HostArray
  readonly start: number
  readonly shape: Shape
  readonly strides: readonly number[]
  readonly dtype: DType
}

/** Strides that walk `target` over an operand of a shape broadcastable to it (aligned right): 0 where it repeats. */
export function broadcastStrides(shape: Shape, strides: readonly number[], target: Shape): number[] {
  const added = target.length - shape.length
  return target.map((_, axis) => (axis < added || shape[axis - added] === 1 ? 0 : strides[axis - added]))
}

/** The positions of all elements of a strided view, in row-major order. */
export function offsetsOf(shape: Shape, strides: readonly number[], start: number): Int32Array {
  const offsets = new Int32Array(sizeOf(shape))
  const index = new Array<number>(shape.length).fill(0)
  let offset = start
  for (let n = 0; n < offsets.length; n++) {
    offsets[n] = offset
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      offset += strides[axis]
      if (++index[axis] < shape[axis]) break
      offset -= shape[axis] * strides[axis]
      index[axis] = 0
    }
  }
  return offsets
}

/** One element as a number; any non-zero byte of a bool is 1. */
export function loadElement(view: View, offset: number): number {
  const value = view.data[offset]
  return view.dtype === 'bool' ? Number(value !== 0) : value
}

/**
 * Stores a number: to bool as ≠ 0 (so NaN is 1), to i32 cut towards zero, with the nearest end of the range for what lies
 * outside and 0 for NaN, to floats rounded to nearest.
 */
export function storeElement(view: View, offset: number, value: number): void {
  if (view.dtype === 'bool') view.data[offset] = Number(value !== 0)
  else if (view.dtype === 'i32') view.data[offset] = Math.trunc(Math.min(Math.max(value, -(2 ** 31)), 2 ** 31 - 1))
  else view.data[offset] = value
}

/** The elements in row-major order, broadcast to `shape`. */
export function load(view: View, shape: Shape = view.shape): Float64Array {
  const offsets = offsetsOf(shape, broadcastStrides(view.shape, view.strides, shape), view.start)
  const values = new Float64Array(offsets.length)
  for (let n = 0; n < offsets.length; n++) values[n] = loadElement(view, offsets[n])
  return values
}

/** Stores elements given in row-major order of the view's shape. */
export function store(view: View, values: ArrayLike<number>): void {
  const offsets = offsetsOf(view.shape, view.strides, view.start)
  for (let n = 0; n < offsets.length; n++) storeElement(view, offsets[n], values[n])
}
