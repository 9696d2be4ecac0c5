import { expect, test } from 'vitest'
import type { DType } from '../dtype'
import { load, offsetsOf, store, type View } from './view'

function stored(dtype: DType, data: View['data'], values: number[]): number[] {
  store({ data, start: 0, shape: [values.length], strides: [1], dtype }, values)
  return [...data]
}

test('offsets walk any strides in row-major order', () => {
  expect([...offsetsOf([2, 3], [1, 2], 4)]).toEqual([4, 6, 8, 5, 7, 9])
  expect([...offsetsOf([2, 2], [0, 1], 0)]).toEqual([0, 1, 0, 1])
  expect([...offsetsOf([], [], 5)]).toEqual([5])
  expect([...offsetsOf([2, 0], [1, 1], 0)]).toEqual([])
})

test('load broadcasts aligned right, over missing axes and axes of size 1', () => {
  const column: View = { data: Float32Array.of(1, 2), start: 0, shape: [2, 1], strides: [1, 1], dtype: 'f32' }
  expect([...load(column, [2, 2, 2])]).toEqual([1, 1, 2, 2, 1, 1, 2, 2])
})

test('bools load as 0 and 1 whatever their byte', () => {
  const bools: View = { data: Uint8Array.of(0, 1, 7), start: 0, shape: [3], strides: [1], dtype: 'bool' }
  expect([...load(bools)]).toEqual([0, 1, 1])
})

test('a store converts: bool is ≠ 0, i32 is cut towards zero and saturates, f32 rounds to nearest', () => {
  expect(stored('bool', new Uint8Array(4), [0, -0.25, Number.NaN, 256])).toEqual([0, 1, 1, 1])
  const integers = stored('i32', new Int32Array(5), [1.9, -1.9, 1e10, Number.NEGATIVE_INFINITY, Number.NaN])
  expect(integers).toEqual([1, -1, 2 ** 31 - 1, -(2 ** 31), 0])
  expect(stored('f32', new Float32Array(2), [0.1, 1e300])).toEqual([Math.fround(0.1), Number.POSITIVE_INFINITY])
})
