// Sums, means and extrema over axes.

import { record } from '../autograd/node'
import type { ReduceKind } from '../backend'
import { program } from '../program'
import { internally } from '../scope'
import { normalizeAxes, showShape, sizeOf } from '../shape'
import { emptyTensor, type Tensor, viewOf } from '../tensor'
import { add, div, mul } from './binary'
import { expand, permute, reshape } from './layout'
import { checkFloat, checkTensor } from './operands'
import { run, runProgram } from './run-program'

export interface ReduceOptions {
  /** Keep the reduced axes with size 1. */
  keepDims?: boolean
}

type Axes = number | readonly number[]

/** The reduced tensor with every reduced axis kept as 1; not recorded. */
function reduceKeeping(kind: ReduceKind, x: Tensor, axes: readonly number[]): Tensor {
  const shape = x.shape.map((n, axis) => (axes.includes(axis) ? 1 : n))
  const out = emptyTensor(x.device, shape, x.dtype)
  x.device.backend.reduce(kind, x, out, false)
  return out
}

function dropAxes(x: Tensor, axes: readonly number[]): Tensor {
  const kept = x.shape.map((_, axis) => axis).filter(axis => !axes.includes(axis))
  return viewOf(
    x,
    kept.map(axis => x.shape[axis]),
    kept.map(axis => x.strides[axis]),
  )
}

/** Gives a reduced gradient its axes of size 1 back. */
function withAxes(gradient: Tensor, shape: readonly number[], axes: readonly number[]): Tensor {
  return reshape(
    gradient,
    shape.map((n, axis) => (axes.includes(axis) ? 1 : n)),
  )
}

/** Σ over `axes` (default all). */
export function sum(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
  return internally(() => {
    checkFloat('sum', 'x', x)
    const list = normalizeAxes('sum', axes, x.rank)
    const kept = reduceKeeping('sum', x, list)
    const out = options.keepDims ? kept : dropAxes(kept, list)
    const { shape } = x
    record('sum', [x], [out], [], ({ 0: g }) => [g && expand(withAxes(g, shape, list), shape)])
    return out
  })
}

/** The mean over `axes` (default all); NaN over no elements. */
export function mean(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
  return internally(() => {
    const count = normalizeAxes('mean', axes, x.rank).reduce((n, axis) => n * x.shape[axis], 1)
    return mul(sum(x, axes, options), 1 / count)
  })
}

const IS_EXTREMUM = program('extremum mask', 2, 0, (b, x, m) => b.eq(x, m))

function extremum(kind: 'max' | 'min', x: Tensor, axes: Axes | undefined, options: ReduceOptions): Tensor {
  return internally(() => {
    checkTensor(kind, 'x', x)
    const list = normalizeAxes(kind, axes, x.rank)
    if (sizeOf(list.map(axis => x.shape[axis])) === 0) {
      throw new RangeError(`${kind}: x has shape ${showShape(x.shape)}, and there is no ${kind} over no elements`)
    }
    const kept = reduceKeeping(kind, x, list)
    const out = options.keepDims ? kept : dropAxes(kept, list)
    const { shape } = x
    record(kind, [x], [out], [x, kept], ({ 0: g }, { saved }) => {
      if (!g) return []
      // Equal extrema share the gradient evenly, as PyTorch's amax and amin do.
      const hits = run(IS_EXTREMUM, [saved[0], saved[1]], [], g.dtype)
      return [mul(hits, div(withAxes(g, shape, list), reduceKeeping('sum', hits, list)))]
    })
    return out
  })
}

/** The largest value over `axes` (default all); equal maxima share the gradient. */
export function max(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
  return extremum('max', x, axes, options)
}

/** The smallest value over `axes` (default all); equal minima share the gradient. */
export function min(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
  return extremum('min', x, axes, options)
}

/** i32: index of the first maximum along the last axis; shape of x without it. No gradient. */
export function argmax(x: Tensor): Tensor {
  return internally(() => {
    checkTensor('argmax', 'x', x)
    if (x.rank === 0 || x.shape[x.rank - 1] === 0) {
      throw new RangeError(`argmax: x has shape ${showShape(x.shape)} (expected a last axis of at least one element)`)
    }
    const kept = emptyTensor(x.device, [...x.shape.slice(0, -1), 1], 'i32')
    x.device.backend.argmax(x, kept)
    return dropAxes(kept, [x.rank - 1])
  })
}

const SOFTMAX = program('softmax', 1, 0, (b, x) => {
  const e = b.exp(b.sub(x, b.rowMax(x)))
  return b.mul(e, b.reciprocal(b.rowSum(e))) // a division for each row, not for each element
})
const SOFTMAX_GRADIENT = program('softmax gradient', 2, 0, (b, g, y) => b.mul(y, b.sub(g, b.rowSum(b.mul(g, y)))))
const LOG_SOFTMAX = program('logSoftmax', 1, 0, (b, x) => {
  const shifted = b.sub(x, b.rowMax(x))
  return b.sub(shifted, b.log(b.rowSum(b.exp(shifted))))
})
const LOG_SOFTMAX_GRADIENT = program('logSoftmax gradient', 2, 0, (b, g, y) => b.sub(g, b.mul(b.exp(y), b.rowSum(g))))
const LOG_SUM_EXP = program('logSumExp', 1, 0, (b, x) => {
  const top = b.rowMax(x)
  // A row of −∞ has no finite shift; its result is −∞.
  const shift = b.select(b.isFinite(top), top, b.constant(0))
  return b.add(shift, b.log(b.rowSum(b.exp(b.sub(x, shift)))))
})
const LOG_SUM_EXP_GRADIENT = program('logSumExp gradient', 3, 0, (b, g, x, y) =>
  // A row of −∞ alone has no slope; NaN is passed on.
  b.select(b.eq(y, b.constant(Number.NEGATIVE_INFINITY)), b.constant(0), b.mul(g, b.exp(b.sub(x, y)))),
)

/** Runs a function of the last axis along another one. */
function alongAxis(op: string, x: Tensor, axis: number, fn: (x: Tensor) => Tensor): Tensor {
  return internally(() => {
    checkFloat(op, 'x', x)
    const [index] = normalizeAxes(op, axis, x.rank)
    if (index === x.rank - 1) return fn(x)
    const order = x.shape.map((_, i) => i)
    ;[order[index], order[x.rank - 1]] = [order[x.rank - 1], order[index]]
    return permute(fn(permute(x, order)), order)
  })
}

/** exp(x) over its sum along `axis`. A row of −∞ alone gives NaN, as in PyTorch; attention treats such rows itself. */
export function softmax(x: Tensor, axis = -1): Tensor {
  return alongAxis('softmax', x, axis, rows => {
    const y = run(SOFTMAX, [rows])
    record('softmax', [rows], [y], [y], ({ 0: g }, { saved }) => [g && run(SOFTMAX_GRADIENT, [g, saved[0]])])
    return y
  })
}

/** log(softmax(x)), without the loss of precision. */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  return alongAxis('logSoftmax', x, axis, rows => {
    const y = run(LOG_SOFTMAX, [rows])
    record('logSoftmax', [rows], [y], [y], ({ 0: g }, { saved }) => [g && run(LOG_SOFTMAX_GRADIENT, [g, saved[0]])])
    return y
  })
}

/** log Σ exp(x) along `axis`. */
export function logSumExp(x: Tensor, axis = -1, options: ReduceOptions = {}): Tensor {
  return internally(() => {
    const out = alongAxis('logSumExp', x, axis, rows => {
      const [y] = runProgram(LOG_SUM_EXP, [rows], [], [{ dtype: rows.dtype, perRow: true }])
      record('logSumExp', [rows], [y], [rows, y], ({ 0: g }, { saved }) => [
        g && run(LOG_SUM_EXP_GRADIENT, [g, saved[0], saved[1]]),
      ])
      return y
    })
    if (options.keepDims) return out
    const index = normalizeAxes('logSumExp', axis, x.rank)[0]
    return reshape(
      out,
      out.shape.filter((_, i) => i !== index),
    )
  })
}

/** Variance over `axes` (default all), dividing by n − correction. */
export function variance(x: Tensor, axes?: Axes, options: ReduceOptions & { correction?: number } = {}): Tensor {
  return internally(() => {
    const count = normalizeAxes('variance', axes, x.rank).reduce((n, axis) => n * x.shape[axis], 1)
    const centred = add(x, mul(mean(x, axes, { keepDims: true }), -1))
    return mul(sum(mul(centred, centred), axes, options), 1 / (count - (options.correction ?? 1)))
  })
}
