// The arithmetic of each primitive, from the shapes of its operands alone. A multiplication, an addition and a function
// such as exp count as one operation each.

import { type AttentionProblem, type Backend, bytesPerElement, type Operand } from '@ditkit/core'

type NoPrimitive =
  | 'name'
  | 'description'
  | 'dtypes'
  | 'computeDtypes'
  | 'attentionKernels'
  | 'alloc'
  | 'free'
  | 'write'
  | 'read'
  | 'sync'
  | 'memory'
  | 'trim'
  | 'dispose'

export type Primitives = Required<Omit<Backend, NoPrimitive>>

/** Operations of a call. A primitive that core adds must be entered here, or this does not compile. */
export const OPERATIONS: { readonly [P in keyof Primitives]: (...args: Parameters<Primitives[P]>) => number } = {
  copy: () => 0,
  fill: () => 0,
  iota: () => 0,
  random: () => 0,
  gather: () => 0,
  check: () => 0,
  elementwise: (program, shape) => program.instructions.length * count(shape),
  reduce: (_, src) => count(src.shape),
  argmax: src => count(src.shape),
  matmul(a, _, out, { bias, activation = 'none', slope, gate, residual, accumulate } = {}) {
    const after = [bias, activation !== 'none', slope, gate, residual, accumulate].filter(Boolean).length
    return (2 * a.shape[a.shape.length - 1] + after) * count(out.shape)
  },
  // As if every distance were computed; trees spare most of them.
  farthestPoints: (points, _mask, indices) => (10 * count(points.shape) * indices.shape[1]) / 3,
  nearestPoints: (queries, points) => (9 * count(queries.shape) * points.shape[1]) / 3,
  scatterAdd: (_dst, _index, src) => count(src.shape),
  // Mean, variance, normalising, modulating; then their gradients.
  layerNorm: x => 8 * count(x.shape),
  layerNormBackward: x => 12 * count(x.shape),
  gatedResidualBackward: y => 3 * count(y.shape),
  // The norm, two moments, the step and the average.
  adamw: tensors =>
    tensors.reduce((sum, { parameter, average }) => sum + (average ? 18 : 15) * count(parameter.shape), 0),
}

/** Operations of the matrix products in attention: scores and output forward, five products backward. */
export function attentionOperations(problem: AttentionProblem, pairs: number, backward: boolean): number {
  const { heads, dim, valueDim, factoredRank = 0, gradients } = problem
  const scores = dim + factoredRank
  if (!backward) return 2 * heads * pairs * (scores + valueDim)
  const wanted = (gradients.q ? dim : 0) + (gradients.k ? dim : 0) + (gradients.v ? valueDim : 0)
  return 2 * heads * pairs * (scores + valueDim + wanted + (gradients.factors ? 2 * factoredRank : 0))
}

/** Bytes of all operands in a call's arguments, each counted once; a broadcast operand as it is stored. */
export function bytesOf(args: readonly unknown[]): number {
  let sum = 0
  for (const arg of args) {
    if (typeof arg !== 'object' || arg === null) continue
    if (isOperand(arg)) {
      const { shape, strides, dtype } = arg
      sum += count(shape.filter((_, axis) => strides[axis] !== 0)) * bytesPerElement(dtype)
    } else sum += bytesOf(Array.isArray(arg) ? arg : Object.values(arg))
  }
  return sum
}

const isOperand = (value: object): value is Operand => 'storage' in value && 'strides' in value

const count = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1)
