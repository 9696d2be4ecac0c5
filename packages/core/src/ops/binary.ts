// Functions of two tensors (or a tensor and a number), element by element, broadcasting.

import { record } from '../autograd/node'
import type { DType } from '../dtype'
import { type ProgramBuilder, program, type Value } from '../program'
import { Tensor } from '../tensor'
import { sharedDevice, sharedDType } from './operands'
import { run } from './run-program'
import { sumTo } from './sum-to'

type Binary = (a: Tensor | number, b: Tensor | number) => Tensor
type Body = (b: ProgramBuilder, x: Value, y: Value) => Value

interface Slopes {
  /** Gradient of the first and of the second operand, from g and both operands. */
  readonly a: (b: ProgramBuilder, g: Value, x: Value, y: Value) => Value
  readonly b: (b: ProgramBuilder, g: Value, x: Value, y: Value) => Value
  /** The slopes do not read the operands, so none is kept. */
  readonly constant?: boolean
}

function checkOperand(name: string, operand: unknown): void {
  if (operand instanceof Tensor || typeof operand === 'number') return
  throw new TypeError(
    `${name}: an operand is ${operand === null ? 'null' : typeof operand} (expected a Tensor or a number)`,
  )
}

function binary(name: string, body: Body, slopes?: Slopes, result?: DType): Binary {
  const both = program(name, 2, 0, body)
  const right = program(`${name} number`, 1, 1, (b, x, s) => body(b, x, s))
  const left = program(`number ${name}`, 1, 1, (b, x, s) => body(b, s, x))
  const gradients = slopes && {
    a: program(`${name} gradient a`, slopes.constant ? 1 : 3, 0, (b, g, x, y) => slopes.a(b, g, x, y)),
    b: program(`${name} gradient b`, slopes.constant ? 1 : 3, 0, (b, g, x, y) => slopes.b(b, g, x, y)),
    right: program(`${name} number gradient`, slopes.constant ? 1 : 2, 1, (b, g, x, s) => slopes.a(b, g, x, s)),
    left: program(`number ${name} gradient`, slopes.constant ? 1 : 2, 1, (b, g, x, s) => slopes.b(b, g, s, x)),
  }
  const dtypeOf = (tensors: readonly Tensor[]) => {
    sharedDevice(name, tensors)
    const dtype = sharedDType(name, tensors)
    if (dtype === 'bool' && !result)
      throw new TypeError(`${name}: operands are bool; use cast(t, 'f32'), or logicalAnd and logicalOr`)
    return dtype
  }
  const ofTensors = (a: Tensor, b: Tensor) => {
    const operands = [a, b]
    const dtype = dtypeOf(operands)
    const out = run(both, operands, [], result ?? dtype)
    if (gradients) {
      const { shape: shapeA } = a
      const { shape: shapeB } = b
      record(name, operands, [out], slopes.constant ? [] : operands, ({ 0: g }, { saved, needs }) => {
        if (!g) return []
        return [
          needs[0] ? sumTo(run(gradients.a, [g, ...saved]), shapeA) : undefined,
          needs[1] ? sumTo(run(gradients.b, [g, ...saved]), shapeB) : undefined,
        ]
      })
    }
    return out
  }
  const withNumber = (x: Tensor, number: number, isLeft: boolean) => {
    const dtype = dtypeOf([x])
    if (dtype === 'i32' && !result && !Number.isInteger(number)) {
      throw new TypeError(`${name}: the number ${number} is not whole but the tensor is i32; use cast(t, 'f32')`)
    }
    const out = run(isLeft ? left : right, [x], [number], result ?? dtype)
    if (gradients) {
      const gradient = isLeft ? gradients.left : gradients.right
      record(name, [x], [out], slopes.constant ? [] : [x], ({ 0: g }, { saved }) => [
        g && run(gradient, [g, ...saved], [number]),
      ])
    }
    return out
  }
  return (a, b) => {
    checkOperand(name, a)
    checkOperand(name, b)
    if (a instanceof Tensor) return b instanceof Tensor ? ofTensors(a, b) : withNumber(a, b, false)
    if (b instanceof Tensor) return withNumber(b, a, true)
    throw new TypeError(`${name}: at least one operand must be a tensor`)
  }
}

/** a + b */
export const add: Binary = binary('add', (b, x, y) => b.add(x, y), { a: (_, g) => g, b: (_, g) => g, constant: true })

/** a − b */
export const sub: Binary = binary('sub', (b, x, y) => b.sub(x, y), {
  a: (_, g) => g,
  b: (b, g) => b.neg(g),
  constant: true,
})

/** a·b, element by element */
export const mul: Binary = binary('mul', (b, x, y) => b.mul(x, y), {
  a: (b, g, _x, y) => b.mul(g, y),
  b: (b, g, x) => b.mul(g, x),
})

/** a/b; of i32, cut towards zero. */
export const div: Binary = binary('div', (b, x, y) => b.div(x, y), {
  a: (b, g, _x, y) => b.div(g, y),
  b: (b, g, x, y) => b.neg(b.div(b.mul(g, x), b.mul(y, y))),
})

/** a to the power b; the gradient of b is NaN for a < 0, as in PyTorch. */
export const pow: Binary = binary('pow', (b, x, y) => b.pow(x, y), {
  a: (b, g, x, y) =>
    b.select(b.eq(y, b.constant(0)), b.constant(0), b.mul(g, b.mul(y, b.pow(x, b.sub(y, b.constant(1)))))),
  b: (b, g, x, y) =>
    b.select(
      b.and(b.eq(x, b.constant(0)), b.le(b.constant(0), y)),
      b.constant(0),
      b.mul(g, b.mul(b.pow(x, y), b.log(x))),
    ),
})

const half = (b: ProgramBuilder, g: Value) => b.mul(g, b.constant(0.5))
const zero = (b: ProgramBuilder) => b.constant(0)

/** The larger of a and b; NaN wins. Equal operands share the gradient, as in PyTorch. */
export const maximum: Binary = binary('maximum', (b, x, y) => b.max(x, y), {
  a: (b, g, x, y) => b.select(b.eq(x, y), half(b, g), b.select(b.lt(y, x), g, zero(b))),
  b: (b, g, x, y) => b.select(b.eq(x, y), half(b, g), b.select(b.lt(x, y), g, zero(b))),
})

/** The smaller of a and b; NaN wins. Equal operands share the gradient, as in PyTorch. */
export const minimum: Binary = binary('minimum', (b, x, y) => b.min(x, y), {
  a: (b, g, x, y) => b.select(b.eq(x, y), half(b, g), b.select(b.lt(x, y), g, zero(b))),
  b: (b, g, x, y) => b.select(b.eq(x, y), half(b, g), b.select(b.lt(y, x), g, zero(b))),
})

/** bool: a < b */
export const less: Binary = binary('less', (b, x, y) => b.lt(x, y), undefined, 'bool')
/** bool: a ≤ b */
export const lessEqual: Binary = binary('lessEqual', (b, x, y) => b.le(x, y), undefined, 'bool')
/** bool: a > b */
export const greater: Binary = binary('greater', (b, x, y) => b.lt(y, x), undefined, 'bool')
/** bool: a ≥ b */
export const greaterEqual: Binary = binary('greaterEqual', (b, x, y) => b.le(y, x), undefined, 'bool')
/** bool: a = b (i32 exact to 2^24) */
export const equal: Binary = binary('equal', (b, x, y) => b.eq(x, y), undefined, 'bool')
/** bool: a ≠ b */
export const notEqual: Binary = binary('notEqual', (b, x, y) => b.ne(x, y), undefined, 'bool')
/** bool: both are not 0 */
export const logicalAnd: Binary = binary('logicalAnd', (b, x, y) => b.and(x, y), undefined, 'bool')
/** bool: one is not 0 */
export const logicalOr: Binary = binary('logicalOr', (b, x, y) => b.or(x, y), undefined, 'bool')
