// Matrix products with what is done before the store, in float64 throughout.

import type { Activation } from '../backend'
import type { ComputeDType } from '../dtype'
import { sizeOf } from '../shape'
import { roundToBf16 } from './bf16'
import { UNARY } from './functions'
import { load, store, type View } from './view'

/** `MatmulEpilogue` with its operands looked up. */
export interface EpilogueViews {
  computeDtype?: ComputeDType
  bias?: View
  activation?: Activation
  preActivation?: View
  slope?: View
  gate?: View
  residual?: View
  alpha?: number
  accumulate?: boolean
}

const ACTIVATIONS: Record<Activation, (x: number) => number> = {
  none: x => x,
  gelu: UNARY.gelu,
  silu: x => x * UNARY.sigmoid(x),
  relu: x => Math.max(x, 0),
}

const SLOPES: Record<Activation, (x: number) => number> = {
  none: () => 1,
  gelu: UNARY.geluGrad,
  silu: x => UNARY.sigmoid(x) * (1 + x * UNARY.sigmoid(-x)),
  relu: x => Number(x > 0),
}

/** out = residual + gate · activation(alpha · a·b + bias), added to out when accumulating. */
export function matmul(a: View, b: View, out: View, epilogue: EpilogueViews = {}): void {
  const { bias, activation = 'none', preActivation, slope, gate, residual, alpha = 1, accumulate } = epilogue
  let values = product(a, b, out, epilogue.computeDtype === 'bf16').map(x => alpha * x)
  const combine = (operand: View, f: (value: number, other: number) => number) => {
    const others = load(operand, out.shape)
    values = values.map((value, n) => f(value, others[n]))
  }
  if (bias) combine(bias, (value, other) => value + other)
  if (preActivation) store(preActivation, values)
  if (slope) store(slope, values.map(SLOPES[activation]))
  values = values.map(ACTIVATIONS[activation])
  if (gate) combine(gate, (value, other) => value * other)
  if (residual) combine(residual, (value, other) => value + other)
  if (accumulate) combine(out, (value, other) => value + other)
  store(out, values)
}

/** a·b in row-major order of out's shape, batch axes broadcast; of a and b rounded to bf16 where that is asked for. */
function product(a: View, b: View, out: View, inBf16: boolean): Float64Array {
  const batch = out.shape.slice(0, -2)
  const [rows, columns] = out.shape.slice(-2)
  const inner = a.shape[a.shape.length - 1]
  const operand = (view: View, shape: readonly number[]) =>
    inBf16 ? load(view, shape).map(roundToBf16) : load(view, shape)
  const left = operand(a, [...batch, rows, inner])
  const right = operand(b, [...batch, inner, columns])
  const result = new Float64Array(sizeOf(out.shape))
  const matrices = sizeOf(batch)
  for (let matrix = 0; matrix < matrices; matrix++) {
    for (let i = 0; i < rows; i++) {
      const resultRow = (matrix * rows + i) * columns
      for (let k = 0; k < inner; k++) {
        const factor = left[(matrix * rows + i) * inner + k]
        const rightRow = (matrix * inner + k) * columns
        for (let j = 0; j < columns; j++) result[resultRow + j] += factor * right[rightRow + j]
      }
    }
  }
  return result
}
