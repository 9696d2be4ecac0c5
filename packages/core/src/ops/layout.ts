// Ops that move elements: reshape and slice share storage, a permute and a concatenation copy.

import { record } from '../autograd/node'
import { bytesPerElement, type DType } from '../dtype'
import { internally } from '../scope'
import { checkShape, contiguousStrides, normalizeAxis, sameShape, showShape, sizeOf } from '../shape'
import { emptyTensor, type Tensor, viewOf } from '../tensor'
import { sharedDevice, sharedDType } from './operands'
import { sumTo } from './sum-to'

/** A row-major copy, or the tensor's own memory where it is row-major already; off the tape. */
export function dense(x: Tensor): Tensor {
  if (x.contiguous) return x
  const copy = emptyTensor(x.device, x.shape, x.dtype)
  x.device.backend.copy(x, copy)
  return copy
}

/** x under a handle of its own, on the tape: what an op returns that has nothing to do. */
export function alias(op: string, x: Tensor): Tensor {
  const out = viewOf(x, x.shape, x.strides)
  record(op, [x], [out], [], ({ 0: g }) => [g])
  return out
}

/** The same values row-major: x's memory where it is so already, else a copy. */
export function contiguous(x: Tensor): Tensor {
  x.checkLive('contiguous')
  if (x.contiguous) return alias('contiguous', x)
  const out = dense(x)
  record('contiguous', [x], [out], [], ({ 0: g }) => [g])
  return out
}

/** The same values under another shape of equal size; one size may be −1. Shares storage where x is row-major. */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  x.checkLive('reshape')
  // A view of row-major memory is all it makes then.
  return x.contiguous ? reshaped(x, shape) : internally(() => reshaped(x, shape))
}

function reshaped(x: Tensor, shape: readonly number[]): Tensor {
  const target = [...shape]
  const open = target.indexOf(-1)
  if (open >= 0) {
    target[open] = 1
    const rest = sizeOf(target)
    target[open] = rest === 0 ? 0 : x.size / rest
  }
  if (sizeOf(target) !== x.size || !target.every(Number.isInteger)) {
    throw new RangeError(`reshape: ${showShape(x.shape)} has ${x.size} elements and does not fit ${showShape(shape)}`)
  }
  checkShape('reshape', target)
  const out = viewOf(dense(x), target, contiguousStrides(target))
  const { shape: before } = x
  record('reshape', [x], [out], [], ({ 0: g }) => [g && reshape(g, before)])
  return out
}

/** Axes in the order given: out.shape[i] = x.shape[axes[i]]. Copies. */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  return internally(() => {
    x.checkLive('permute')
    const order = axes.map(axis => normalizeAxis('permute', axis, x.rank))
    if (new Set(order).size !== x.rank || order.length !== x.rank) {
      throw new RangeError(`permute: axes [${axes.join(', ')}] do not name each of the ${x.rank} axes once`)
    }
    const view = viewOf(
      x,
      order.map(axis => x.shape[axis]),
      order.map(axis => x.strides[axis]),
    )
    const out = view.contiguous ? view : dense(view)
    const inverse = order.map((_, axis) => order.indexOf(axis))
    record('permute', [x], [out], [], ({ 0: g }) => [g && permute(g, inverse)])
    return out
  })
}

/** Swaps two axes (default the last two). Copies. */
export function transpose(x: Tensor, axisA = -2, axisB = -1): Tensor {
  const order = x.shape.map((_, axis) => axis)
  const a = normalizeAxis('transpose', axisA, x.rank)
  const b = normalizeAxis('transpose', axisB, x.rank)
  ;[order[a], order[b]] = [b, a]
  return permute(x, order)
}

/** Elements start … end − 1 along `axis` (negative counts from the end): a view, read in place by linear, the norms and attention. */
export function slice(x: Tensor, axis: number, start: number, end?: number): Tensor {
  x.checkLive('slice')
  const index = normalizeAxis('slice', axis, x.rank)
  const n = x.shape[index]
  const from = start < 0 ? start + n : start
  const to = end === undefined ? n : end < 0 ? end + n : end
  if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || to > n || from > to) {
    throw new RangeError(`slice: ${start} … ${end ?? n} is not within axis ${axis} of ${showShape(x.shape)} (0 … ${n})`)
  }
  const shape = x.shape.map((size, i) => (i === index ? to - from : size))
  const out = viewOf(x, shape, x.strides, x.byteOffset + from * x.strides[index] * bytesPerElement(x.dtype))
  const { shape: before } = x
  record('slice', [x], [out], [], ({ 0: g }) => {
    if (!g) return []
    const full = emptyTensor(g.device, before, g.dtype)
    g.device.backend.fill(full, 0)
    g.device.backend.copy(g, slice(full, index, from, to))
    return [full]
  })
  return out
}

/** The tensors one after another along `axis`. */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  return internally(() => {
    const device = sharedDevice('concat', tensors)
    const dtype = sharedDType('concat', tensors)
    const index = normalizeAxis('concat', axis, tensors[0].rank)
    const first = tensors[0].shape
    tensors.forEach((tensor, i) => {
      if (tensor.rank !== first.length || tensor.shape.some((n, j) => j !== index && n !== first[j])) {
        throw new RangeError(
          `concat: tensor ${i} has shape ${showShape(tensor.shape)} and tensor 0 ${showShape(first)}: they may differ in axis ${axis} only`,
        )
      }
    })
    const sizes = tensors.map(tensor => tensor.shape[index])
    const total = sizes.reduce((a, b) => a + b, 0)
    const out = emptyTensor(
      device,
      first.map((n, i) => (i === index ? total : n)),
      dtype,
    )
    let start = 0
    tensors.forEach((tensor, i) => {
      device.backend.copy(tensor, slice(out, index, start, start + sizes[i]))
      start += sizes[i]
    })
    record('concat', tensors, [out], [], ({ 0: g }) => (g ? split(g, sizes, index) : []))
    return out
  })
}

/** The tensors, of one shape, along a new axis. */
export function stack(tensors: readonly Tensor[], axis: number): Tensor {
  return internally(() => {
    sharedDevice('stack', tensors)
    const at = axis < 0 ? axis + tensors[0].rank + 1 : axis
    return concat(
      tensors.map(tensor => unsqueeze(tensor, at)),
      at,
    )
  })
}

/** Views of x along `axis`: of the sizes given, or of that many equal parts. */
export function split(x: Tensor, sizes: readonly number[] | number, axis: number): Tensor[] {
  const index = normalizeAxis('split', axis, x.rank)
  const n = x.shape[index]
  const list = typeof sizes === 'number' ? Array.from({ length: sizes }, () => n / sizes) : sizes
  if (list.some(size => !Number.isInteger(size)) || list.reduce((a, b) => a + b, 0) !== n) {
    throw new RangeError(`split: ${JSON.stringify(sizes)} does not divide axis ${axis} of ${showShape(x.shape)} (${n})`)
  }
  let start = 0
  return list.map(size => {
    start += size
    return slice(x, index, start - size, start)
  })
}

/** x repeated along its axes of size 1 (and new leading ones) to `shape`: a view of strides 0. */
export function expand(x: Tensor, shape: readonly number[]): Tensor {
  x.checkLive('expand')
  checkShape('expand', shape)
  const lead = shape.length - x.rank
  if (lead < 0 || x.shape.some((n, axis) => n !== 1 && n !== shape[axis + lead])) {
    throw new RangeError(`expand: ${showShape(x.shape)} does not broadcast to ${showShape(shape)}`)
  }
  if (sameShape(x.shape, shape)) return alias('expand', x)
  const strides = shape.map((n, axis) =>
    axis < lead || (x.shape[axis - lead] === 1 && n !== 1) ? 0 : x.strides[axis - lead],
  )
  const out = viewOf(x, [...shape], strides)
  const { shape: before } = x
  record('expand', [x], [out], [], ({ 0: g }) => [g && sumTo(g, before)])
  return out
}

/** Without an axis of size 1. */
export function squeeze(x: Tensor, axis: number): Tensor {
  const index = normalizeAxis('squeeze', axis, x.rank)
  if (x.shape[index] !== 1) throw new RangeError(`squeeze: axis ${axis} of ${showShape(x.shape)} is not 1`)
  return reshape(
    x,
    x.shape.filter((_, i) => i !== index),
  )
}

/** With a new axis of size 1 at `axis`. */
export function unsqueeze(x: Tensor, axis: number): Tensor {
  const index = normalizeAxis('unsqueeze', axis, x.rank + 1)
  return reshape(x, [...x.shape.slice(0, index), 1, ...x.shape.slice(index)])
}

/** x with `value` around it: [before, after] elements for every axis. */
export function pad(x: Tensor, widths: readonly (readonly [number, number])[], value = 0): Tensor {
  return internally(() => {
    if (widths.length !== x.rank || widths.flat().some(n => !Number.isInteger(n) || n < 0)) {
      throw new RangeError(
        `pad: expected one [before, after] of whole numbers ≥ 0 for each of the ${x.rank} axes, got ${JSON.stringify(widths)}`,
      )
    }
    x.checkLive('pad')
    const { backend } = x.device
    const out = emptyTensor(
      x.device,
      x.shape.map((n, axis) => widths[axis][0] + n + widths[axis][1]),
      x.dtype,
    )
    backend.fill(out, value)
    const inner = (full: Tensor, shape: readonly number[]) => {
      const offset = widths.reduce((sum, [before], axis) => sum + before * full.strides[axis], 0)
      return viewOf(full, shape, full.strides, full.byteOffset + offset * bytesPerElement(full.dtype))
    }
    backend.copy(x, inner(out, x.shape))
    const { shape } = x
    record('pad', [x], [out], [], ({ 0: g }) => [g && inner(g, shape)])
    return out
  })
}

/** x in another dtype: to bool is ≠ 0, to i32 truncates. Differentiable between float dtypes. */
export function cast(x: Tensor, dtype: DType): Tensor {
  x.checkLive('cast')
  if (x.dtype === dtype) return alias('cast', x)
  x.device.checkDType(dtype)
  const out = emptyTensor(x.device, x.shape, dtype)
  x.device.backend.copy(x, out)
  const { dtype: before } = x
  if (dtype !== 'i32' && dtype !== 'bool') record('cast', [x], [out], [], ({ 0: g }) => [g && cast(g, before)])
  return out
}

/** The same memory off the tape. */
export function detach(x: Tensor): Tensor {
  x.checkLive('detach')
  return viewOf(x, x.shape, x.strides)
}
