// Reductions over axes, and the position of a maximum.

import type { ReduceKind } from '../backend'
import { contiguousStrides, sizeOf } from '../shape'
import { BINARY } from './functions'
import { broadcastStrides, load, offsetsOf, store, type View } from './view'

const KINDS: Record<ReduceKind, { start: number; combine: (a: number, b: number) => number }> = {
  sum: { start: 0, combine: BINARY.add },
  max: { start: Number.NEGATIVE_INFINITY, combine: BINARY.max },
  min: { start: Number.POSITIVE_INFINITY, combine: BINARY.min },
}

/** Reduces the axes where `dst` has size 1, in row-major order of `src`; NaN propagates through max and min too. */
export function reduce(kind: ReduceKind, src: View, dst: View, accumulate: boolean): void {
  const { start, combine } = KINDS[kind]
  const values = load(src)
  const results = accumulate ? load(dst) : new Float64Array(sizeOf(dst.shape)).fill(start)
  const targets = offsetsOf(src.shape, broadcastStrides(dst.shape, contiguousStrides(dst.shape), src.shape), 0)
  for (let n = 0; n < values.length; n++) results[targets[n]] = combine(results[targets[n]], values[n])
  store(dst, results)
}

/** Index of the first maximum of each row (the last axis, not empty); a NaN counts as the maximum. */
export function argmax(src: View, dst: View): void {
  const values = load(src)
  const length = src.shape[src.shape.length - 1]
  const results = new Float64Array(sizeOf(dst.shape))
  for (let row = 0; row < results.length; row++) {
    const rowValues = values.subarray(row * length, (row + 1) * length)
    const nan = rowValues.findIndex(Number.isNaN)
    results[row] = nan >= 0 ? nan : rowValues.indexOf(rowValues.reduce((a, b) => Math.max(a, b)))
  }
  store(dst, results)
}
