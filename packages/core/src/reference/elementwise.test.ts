import { expect, test } from 'vitest'
import { type ProgramBuilder, program } from '../program'
import { contiguousStrides, sizeOf } from '../shape'
import { elementwise } from './elementwise'
import { load, type View } from './view'

function view(values: number[], shape: number[], strides = contiguousStrides(shape)): View {
  return { data: Float64Array.from(values), start: 0, shape, strides, dtype: 'f64' }
}

function empty(shape: number[]): View {
  return view(new Array(sizeOf(shape)).fill(Number.NaN), shape)
}

const { NaN: nan, POSITIVE_INFINITY: inf } = Number

function unary(
  code: 'round' | 'sign' | 'not' | 'isFinite' | 'gelu' | 'geluGrad' | 'sigmoid' | 'rsqrt',
  ...xs: number[]
) {
  const out = empty([xs.length])
  elementwise(
    program(code, 1, 0, (b, x) => b[code](x)),
    [xs.length],
    [view(xs, [xs.length])],
    [],
    [out],
  )
  return [...load(out)]
}

function binary(code: 'pow' | 'min' | 'max' | 'lt' | 'le' | 'eq' | 'ne' | 'and' | 'or', a: number, b: number): number {
  const out = empty([])
  elementwise(
    program(code, 2, 0, (p, x, y) => p[code](x, y)),
    [],
    [view([a], []), view([b], [])],
    [],
    [out],
  )
  return load(out)[0]
}

test('round takes halves to the even neighbour', () => {
  expect(unary('round', 0.5, 1.5, 2.5, 2.4, 2.6, -1.5, -2.5, inf)).toEqual([0, 2, 2, 2, 3, -2, -2, inf])
  expect(unary('round', -0.5)[0] === 0).toBe(true)
  expect(unary('round', 0.49999999999999994, 2 ** 52 + 1, nan)).toEqual([0, 2 ** 52 + 1, nan])
})

test('sign, not and isFinite as documented', () => {
  expect(unary('sign', -3, 0, 2, nan)).toEqual([-1, 0, 1, nan])
  expect(unary('not', 0, 2, nan)).toEqual([1, 0, 0])
  expect(unary('isFinite', 1, inf, -inf, nan)).toEqual([1, 0, 0, 0])
})

test('pow is as in C: 1 to any power and −1 to ±∞ are 1', () => {
  expect([binary('pow', 1, nan), binary('pow', 1, inf), binary('pow', -1, -inf), binary('pow', nan, 0)]).toEqual([
    1, 1, 1, 1,
  ])
  expect([binary('pow', -2, 3), binary('pow', -2, 0.5), binary('pow', 0, -1)]).toEqual([-8, nan, inf])
})

test('min and max propagate NaN, comparisons with NaN are 0, ne is 1', () => {
  for (const code of ['min', 'max'] as const) expect([binary(code, nan, 1), binary(code, 1, nan)]).toEqual([nan, nan])
  for (const code of ['lt', 'le', 'eq'] as const) expect([binary(code, nan, 1), binary(code, nan, nan)]).toEqual([0, 0])
  expect(binary('ne', nan, nan)).toBe(1)
  expect([binary('le', 2, 2), binary('lt', 2, 2), binary('and', 2, 0), binary('or', 2, 0)]).toEqual([1, 0, 0, 1])
})

test('select takes a branch, so a NaN in the other has no influence', () => {
  const out = empty([3])
  const choose = program('choose', 2, 1, (b, condition, x, zero) => b.select(condition, x, zero))
  elementwise(choose, [3], [view([1, 0, 2], [3]), view([5, nan, nan], [3])], [0], [out])
  expect([...load(out)]).toEqual([5, 0, nan])
})

test('gelu is the tanh approximation and geluGrad its derivative, finite at the ends', () => {
  const xs = [-3, -0.7, 0, 0.3, 2]
  const step = 1e-5
  const above = unary('gelu', ...xs.map(x => x + step))
  const below = unary('gelu', ...xs.map(x => x - step))
  const slopes = unary('geluGrad', ...xs)
  for (const i of xs.keys()) expect(slopes[i]).toBeCloseTo((above[i] - below[i]) / (2 * step), 8)
  expect(unary('gelu', 1)[0]).toBeCloseTo(0.8411919906082768, 14)
  expect(unary('geluGrad', 1e200, -1e200, inf)).toEqual([1, 0, 1])
})

test('sigmoid and rsqrt reach their limits', () => {
  expect(unary('sigmoid', -1e3, 1e3, 0)).toEqual([0, 1, 0.5])
  expect(unary('rsqrt', 0, 4, -1)).toEqual([inf, 0.5, nan])
})

const softmax = program('softmax', 1, 0, (b, x) => {
  const e = b.exp(b.sub(x, b.rowMax(x)))
  return b.div(e, b.rowSum(e))
})

test('row sums and maxima chain into a two-pass row kernel', () => {
  const out = empty([2, 3])
  elementwise(softmax, [2, 3], [view([0, Math.log(2), Math.log(5), 1000, 1000, -1000], [2, 3])], [], [out])
  const expected = [1 / 8, 2 / 8, 5 / 8, 0.5, 0.5, 0]
  for (const [n, value] of load(out).entries()) expect(value).toBeCloseTo(expected[n], 14)
})

test('a row sum counts a broadcast operand once per element, and is stored once per row', () => {
  const out = empty([2, 1])
  const sums = program('sums', 2, 1, (b, x, y, s) => b.rowSum(b.mul(s, b.add(b.rowSum(y), x))))
  elementwise(sums, [2, 3], [view([1, 2, 3], [3]), view([10, 20], [2, 1])], [2], [out])
  expect([...load(out)]).toEqual([2 * (6 + 90), 2 * (6 + 180)])
})

test('rows of a rank-0 program and empty rows', () => {
  const scalar = empty([])
  const sum = program('sum', 1, 0, (b, x) => b.rowSum(x))
  const max = program('max', 1, 0, (b, x) => b.rowMax(x))
  elementwise(sum, [], [view([4], [])], [], [scalar])
  expect([...load(scalar)]).toEqual([4])
  const perRow = empty([2, 1])
  elementwise(sum, [2, 0], [view([], [2, 0])], [], [perRow])
  expect([...load(perRow)]).toEqual([0, 0])
  elementwise(max, [2, 0], [view([], [2, 0])], [], [perRow])
  expect([...load(perRow)]).toEqual([-inf, -inf])
})

test('operands are read through their strides, and several outputs are written', () => {
  const both = program('both', 2, 0, (b, x, y) => [b.add(x, y), b.rowMax(x)])
  const transposed = view([1, 2, 3, 4, 5, 6], [3, 2], [1, 3])
  const [sum, max] = [empty([3, 2]), empty([3, 1])]
  elementwise(both, [3, 2], [transposed, view([100], [1, 1])], [], [sum, max])
  expect([...load(sum)]).toEqual([101, 104, 102, 105, 103, 106])
  expect([...load(max)]).toEqual([4, 5, 6])
})

test('an output may be the memory of an input', () => {
  const x = view([1, 2, 3, 4], [2, 2])
  elementwise(softmax, [2, 2], [x], [], [x])
  const values = load(x)
  expect(values[0] + values[1]).toBeCloseTo(1, 14)
  expect(values[2]).toBe(values[0])
})

test('an output of one number per row refuses a register that varies along it', () => {
  const copy = program('copy', 1, 0, (b: ProgramBuilder, x) => b.neg(x))
  expect(() => elementwise(copy, [2, 3], [empty([2, 3])], [], [empty([2, 1])])).toThrow(/program copy: output 0/)
})
