// Functions of one tensor, element by element. Each is a program and a gradient program over (gradient, saved tensor).

import { record } from '../autograd/node'
import { type ProgramBuilder, program, type Value } from '../program'
import type { Tensor } from '../tensor'
import { checkFloat, checkTensor } from './operands'
import { run } from './run-program'

interface UnaryOp {
  /** With the scalars, if any, as further arguments. */
  readonly forward: (b: ProgramBuilder, x: Value, ...scalars: Value[]) => Value
  /** Gradient of x from that of y; `saved` is x or y as `from` says. Absent: the op has no gradient (it is flat). */
  readonly gradient?: (b: ProgramBuilder, g: Value, saved: Value, ...scalars: Value[]) => Value
  readonly from?: 'x' | 'y'
  readonly scalars?: number
}

function unary(name: string, op: UnaryOp): (x: Tensor, ...scalars: number[]) => Tensor {
  const count = op.scalars ?? 0
  const forward = program(name, 1, count, op.forward)
  const { gradient, from = 'x' } = op
  const backward = gradient && program(`${name} gradient`, 2, count, gradient)
  return (x, ...scalars) => {
    checkFloat(name, 'x', x)
    const y = run(forward, [x], scalars)
    if (backward)
      record(name, [x], [y], [from === 'x' ? x : y], ({ 0: g }, { saved }) => [
        g && run(backward, [g, saved[0]], scalars),
      ])
    return y
  }
}

/** A boolean function; no gradient. */
function predicate(name: string, forward: UnaryOp['forward']): (x: Tensor) => Tensor {
  const body = program(name, 1, 0, forward)
  return x => {
    checkTensor(name, 'x', x)
    return run(body, [x], [], 'bool')
  }
}

/** −x */
export const neg: (x: Tensor) => Tensor = unary('neg', { forward: (b, x) => b.neg(x), gradient: (b, g) => b.neg(g) })

/** |x|; the gradient at 0 is 0. */
export const abs: (x: Tensor) => Tensor = unary('abs', {
  forward: (b, x) => b.abs(x),
  gradient: (b, g, x) => b.mul(g, b.sign(x)),
})

export const exp: (x: Tensor) => Tensor = unary('exp', {
  forward: (b, x) => b.exp(x),
  gradient: (b, g, y) => b.mul(g, y),
  from: 'y',
})

/** Natural logarithm. */
export const log: (x: Tensor) => Tensor = unary('log', {
  forward: (b, x) => b.log(x),
  gradient: (b, g, x) => b.div(g, x),
})

export const sqrt: (x: Tensor) => Tensor = unary('sqrt', {
  forward: (b, x) => b.sqrt(x),
  gradient: (b, g, y) => b.div(b.mul(g, b.constant(0.5)), y),
  from: 'y',
})

/** 1/√x */
export const rsqrt: (x: Tensor) => Tensor = unary('rsqrt', {
  forward: (b, x) => b.rsqrt(x),
  gradient: (b, g, y) => b.mul(b.mul(g, b.constant(-0.5)), b.mul(y, b.mul(y, y))),
  from: 'y',
})

/** 1/x */
export const reciprocal: (x: Tensor) => Tensor = unary('reciprocal', {
  forward: (b, x) => b.reciprocal(x),
  gradient: (b, g, y) => b.neg(b.mul(g, b.mul(y, y))),
  from: 'y',
})

/** x² */
export const square: (x: Tensor) => Tensor = unary('square', {
  forward: (b, x) => b.mul(x, x),
  gradient: (b, g, x) => b.mul(g, b.mul(x, b.constant(2))),
})

export const tanh: (x: Tensor) => Tensor = unary('tanh', {
  forward: (b, x) => b.tanh(x),
  gradient: (b, g, y) => b.mul(g, b.sub(b.constant(1), b.mul(y, y))),
  from: 'y',
})

/** 1/(1 + exp(−x)) */
export const sigmoid: (x: Tensor) => Tensor = unary('sigmoid', {
  forward: (b, x) => b.sigmoid(x),
  gradient: (b, g, y) => b.mul(g, b.mul(y, b.sub(b.constant(1), y))),
  from: 'y',
})

/** x·sigmoid(x) */
export const silu: (x: Tensor) => Tensor = unary('silu', {
  forward: (b, x) => b.mul(x, b.sigmoid(x)),
  gradient: (b, g, x) => b.mul(g, siluSlope(b, x)),
})

/** GELU in its tanh approximation (Hendrycks & Gimpel, arXiv:1606.08415), as DiT uses it. */
export const gelu: (x: Tensor) => Tensor = unary('gelu', {
  forward: (b, x) => b.gelu(x),
  gradient: (b, g, x) => b.mul(g, b.geluGrad(x)),
})

/** max(x, 0) */
export const relu: (x: Tensor) => Tensor = unary('relu', {
  forward: (b, x) => b.max(x, b.constant(0)),
  gradient: (b, g, x) => b.select(b.lt(b.constant(0), x), g, b.constant(0)),
})

/** log(1 + exp(x)), without overflow, and to all digits where it is next to 0 (Goldberg 1991, theorem 4). */
export const softplus: (x: Tensor) => Tensor = unary('softplus', {
  forward: (b, x) => {
    const one = b.constant(1)
    const e = b.exp(b.neg(b.abs(x)))
    const sum = b.add(one, e)
    const rest = b.select(b.eq(sum, one), e, b.div(b.mul(e, b.log(sum)), b.sub(sum, one)))
    return b.add(b.max(x, b.constant(0)), rest)
  },
  gradient: (b, g, x) => b.mul(g, b.sigmoid(x)),
})

export const sin: (x: Tensor) => Tensor = unary('sin', {
  forward: (b, x) => b.sin(x),
  gradient: (b, g, x) => b.mul(g, b.cos(x)),
})

export const cos: (x: Tensor) => Tensor = unary('cos', {
  forward: (b, x) => b.cos(x),
  gradient: (b, g, x) => b.neg(b.mul(g, b.sin(x))),
})

/** No gradient: it is flat wherever it has one. */
export const floor: (x: Tensor) => Tensor = unary('floor', { forward: (b, x) => b.floor(x) })

/** To the nearest integer, halves to even. No gradient. */
export const round: (x: Tensor) => Tensor = unary('round', { forward: (b, x) => b.round(x) })

/** −1, 0 or 1. No gradient. */
export const sign: (x: Tensor) => Tensor = unary('sign', { forward: (b, x) => b.sign(x) })

/** x limited to low … high; the gradient passes where low ≤ x ≤ high. */
export const clamp: (x: Tensor, low: number, high: number) => Tensor = unary('clamp', {
  scalars: 2,
  forward: (b, x, low, high) => b.min(b.max(x, low), high),
  gradient: (b, g, x, low, high) => b.select(b.and(b.le(low, x), b.le(x, high)), g, b.constant(0)),
}) as (x: Tensor, low: number, high: number) => Tensor

/** bool: neither NaN nor infinite. */
export const isFinite: (x: Tensor) => Tensor = predicate('isFinite', (b, x) => b.isFinite(x))

/** bool: x is 0. */
export const logicalNot: (x: Tensor) => Tensor = predicate('logicalNot', (b, x) => b.not(x))

/** Derivative of x·sigmoid(x). */
function siluSlope(b: ProgramBuilder, x: Value): Value {
  const s = b.sigmoid(x)
  return b.fma(b.mul(x, s), b.sub(b.constant(1), s), s)
}
