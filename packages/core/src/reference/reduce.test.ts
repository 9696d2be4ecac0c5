import { expect, test } from 'vitest'
import { contiguousStrides, sizeOf } from '../shape'
import { argmax, reduce } from './reduce'
import { load, type View } from './view'

function view(values: number[], shape: number[], strides = contiguousStrides(shape)): View {
  return { data: Float64Array.from(values), start: 0, shape, strides, dtype: 'f64' }
}

function reduced(kind: 'sum' | 'max' | 'min', src: View, shape: number[]): number[] {
  const dst = view(new Array(sizeOf(shape)).fill(Number.NaN), shape)
  reduce(kind, src, dst, false)
  return [...load(dst)]
}

const { NaN: nan, POSITIVE_INFINITY: inf } = Number
const cube = view([1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2])

test('any set of axes is reduced', () => {
  expect(reduced('sum', cube, [1, 2, 1])).toEqual([14, 22])
  expect(reduced('sum', cube, [2, 1, 2])).toEqual([4, 6, 12, 14])
  expect(reduced('max', cube, [1, 1, 2])).toEqual([7, 8])
  expect(reduced('min', cube, [1, 1, 1])).toEqual([1])
  expect(reduced('sum', view([1, 2, 3, 4, 5, 6], [3, 2], [1, 3]), [3, 1])).toEqual([5, 7, 9])
  expect(reduced('sum', view([3], []), [])).toEqual([3])
})

test('axes of size 0 give 0, −∞ and ∞', () => {
  const none = view([], [2, 0])
  expect(reduced('sum', none, [2, 1])).toEqual([0, 0])
  expect(reduced('max', none, [2, 1])).toEqual([-inf, -inf])
  expect(reduced('min', none, [2, 1])).toEqual([inf, inf])
})

test('NaN propagates', () => {
  for (const kind of ['sum', 'max', 'min'] as const) expect(reduced(kind, view([1, nan, 2], [3]), [1])).toEqual([nan])
})

test('accumulate combines with what dst holds', () => {
  const dst = view([10, 1], [2, 1])
  reduce('sum', view([1, 2, 3, 4], [2, 2]), dst, true)
  expect([...load(dst)]).toEqual([13, 8])
  reduce('max', view([1, 2, 30, 4], [2, 2]), dst, true)
  expect([...load(dst)]).toEqual([13, 30])
})

test('argmax gives the first maximum, and a NaN counts as one', () => {
  const dst: View = { data: new Int32Array(3), start: 0, shape: [3, 1], strides: [1, 1], dtype: 'i32' }
  argmax(view([1, 5, 5, inf, nan, nan, -inf, -inf, -inf], [3, 3]), dst)
  expect([...load(dst)]).toEqual([1, 1, 0])
})
