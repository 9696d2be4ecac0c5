import { expect, test } from 'vitest'
import { contiguousStrides, sizeOf } from '../shape'
import { matmul } from './matmul'
import { load, type View } from './view'

function view(values: number[], shape: number[], strides = contiguousStrides(shape)): View {
  return { data: Float64Array.from(values), start: 0, shape, strides, dtype: 'f64' }
}

function empty(shape: number[]): View {
  return view(new Array(sizeOf(shape)).fill(Number.NaN), shape)
}

const a = view([1, 2, 3, 4, 5, 6], [2, 3])
const b = view([1, 0, 2, -1, 0, 1], [3, 2])
// a·b
const PRODUCT = [5, 1, 14, 1]

test('a product of two matrices, and through transposed strides', () => {
  const out = empty([2, 2])
  matmul(a, b, out)
  expect([...load(out)]).toEqual(PRODUCT)
  const bStoredTransposed = view([1, 2, 0, 0, -1, 1], [3, 2], [1, 3])
  matmul(a, bStoredTransposed, out)
  expect([...load(out)]).toEqual(PRODUCT)
})

test('batch axes broadcast both ways', () => {
  const out = empty([2, 2, 1, 1])
  matmul(view([2, 3], [2, 1, 1, 1]), view([5, 7], [2, 1, 1]), out)
  expect([...load(out)]).toEqual([10, 14, 15, 21])
})

test('an empty inner axis gives zeros, or the bias', () => {
  const out = empty([1, 2])
  matmul(view([], [1, 0]), view([], [0, 2]), out)
  expect([...load(out)]).toEqual([0, 0])
  matmul(view([], [1, 0]), view([], [0, 2]), out, { bias: view([3, 4], [2]) })
  expect([...load(out)]).toEqual([3, 4])
})

test('alpha scales the product but not the bias, and the pre-activation is kept', () => {
  const [out, preActivation] = [empty([2, 2]), empty([2, 2])]
  matmul(a, b, out, { alpha: 2, bias: view([-20, 1], [2]), activation: 'relu', preActivation })
  expect([...load(preActivation)]).toEqual([-10, 3, 8, 3])
  expect([...load(out)]).toEqual([0, 3, 8, 3])
})

test('the slope is the derivative of the activation at the value', () => {
  const one = view([1], [1, 1])
  for (const activation of ['none', 'gelu', 'silu', 'relu'] as const) {
    for (const x of [-3, -0.5, 0.25, 4]) {
      const at = (bias: number) => {
        const [out, slope] = [empty([1, 1]), empty([1, 1])]
        matmul(one, view([0], [1, 1]), out, { bias: view([bias], [1]), activation, slope })
        return { value: load(out)[0], slope: load(slope)[0] }
      }
      const h = 1e-5
      expect(at(x).slope).toBeCloseTo((at(x + h).value - at(x - h).value) / (2 * h), 8)
    }
  }
})

test('silu and gelu are applied to the value', () => {
  const out = empty([1, 1])
  matmul(view([1], [1, 1]), view([1], [1, 1]), out, { activation: 'silu' })
  expect(load(out)[0]).toBeCloseTo(1 / (1 + Math.exp(-1)), 14)
  matmul(view([1], [1, 1]), view([1], [1, 1]), out, { activation: 'gelu' })
  expect(load(out)[0]).toBeCloseTo(0.8411919906082768, 14)
})

test('gate and residual come after bias and activation, and out may be the residual', () => {
  const out = view([1, 2, 3, 4], [1, 2, 2])
  const gate = view([10, -1], [1, 1, 2])
  matmul(a, b, out, { bias: view([1, 1], [2]), gate, residual: out })
  expect([...load(out)]).toEqual([61, 0, 153, 2])
})

test('accumulate adds to what out holds', () => {
  const out = view([100, 200, 300, 400], [2, 2])
  matmul(a, b, out, { accumulate: true })
  expect([...load(out)]).toEqual([105, 201, 314, 401])
})

test('sums are kept in float64 and rounded once', () => {
  const out: View = { data: new Float32Array(1), start: 0, shape: [1, 1], strides: [1, 1], dtype: 'f32' }
  matmul(view([2 ** 30, 1, -(2 ** 30)], [1, 3]), view([1, 1, 1], [3, 1]), out)
  expect([...load(out)]).toEqual([1])
})
