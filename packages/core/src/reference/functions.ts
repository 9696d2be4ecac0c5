// What each elementwise instruction computes, in float64. Semantics are documented in program.ts.

import type { BinaryCode, TernaryCode, UnaryCode } from '../program'

const GELU_SCALE = Math.sqrt(2 / Math.PI)
const GELU_CUBIC = 0.044715

function gelu(x: number): number {
  return 0.5 * x * (1 + Math.tanh(GELU_SCALE * (x + GELU_CUBIC * x ** 3)))
}

function geluGrad(x: number): number {
  const tanh = Math.tanh(GELU_SCALE * (x + GELU_CUBIC * x ** 3))
  const half = 0.5 * (1 + tanh)
  // Where the tanh is flat its slope is exactly 0; multiplied out, ∞ · 0 would give NaN for large x.
  const flatness = 1 - tanh * tanh
  return flatness === 0 ? half : half + 0.5 * x * flatness * GELU_SCALE * (1 + 3 * GELU_CUBIC * x * x)
}

/** To the nearest integer, halves to the even one. */
function round(x: number): number {
  const nearest = Math.round(x)
  return nearest - x === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest
}

/** C's pow: 1 to any power is 1, and so is −1 to ±∞; JavaScript gives NaN there. */
function pow(base: number, exponent: number): number {
  if (base === 1 || (base === -1 && Math.abs(exponent) === Number.POSITIVE_INFINITY)) return 1
  return base ** exponent
}

export const UNARY: Record<Exclude<UnaryCode, 'rowSum' | 'rowMax'>, (x: number) => number> = {
  neg: x => -x,
  abs: Math.abs,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  rsqrt: x => 1 / Math.sqrt(x),
  reciprocal: x => 1 / x,
  tanh: Math.tanh,
  sigmoid: x => 1 / (1 + Math.exp(-x)),
  sin: Math.sin,
  cos: Math.cos,
  floor: Math.floor,
  round,
  sign: Math.sign,
  isFinite: x => Number(Number.isFinite(x)),
  not: x => Number(x === 0),
  gelu,
  geluGrad,
}

export const BINARY: Record<BinaryCode, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  min: Math.min,
  max: Math.max,
  pow,
  lt: (a, b) => Number(a < b),
  le: (a, b) => Number(a <= b),
  eq: (a, b) => Number(a === b),
  ne: (a, b) => Number(a !== b),
  and: (a, b) => Number(a !== 0 && b !== 0),
  or: (a, b) => Number(a !== 0 || b !== 0),
}

export const TERNARY: Record<TernaryCode, (a: number, b: number, c: number) => number> = {
  select: (a, b, c) => (a !== 0 ? b : c),
  fma: (a, b, c) => a * b + c,
}

/** Over a row, in order; an empty row sums to 0 and has maximum −∞. */
export const ROW: Record<'rowSum' | 'rowMax', { start: number; combine: (a: number, b: number) => number }> = {
  rowSum: { start: 0, combine: BINARY.add },
  rowMax: { start: Number.NEGATIVE_INFINITY, combine: BINARY.max },
}
