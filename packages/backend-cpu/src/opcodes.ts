// The numbers that commands, dtypes and options have in the command buffer; the same as in native/addon/opcodes.h.

import type { Activation, ComputeDType, DType, RandomKind, ReduceKind } from '@ditkit/core'

export const OPCODE = {
  copy: 0,
  fill: 1,
  iota: 2,
  random: 3,
  elementwise: 4,
  reduce: 5,
  argmax: 6,
  matmul: 7,
  gather: 8,
  scatterAdd: 9,
  check: 10,
  layerNorm: 11,
  layerNormBackward: 12,
  gatedResidualBackward: 13,
  adamw: 14,
  attentionForward: 15,
  attentionBackward: 16,
  farthestPoints: 17,
  nearestPoints: 18,
} as const

/** dtypes this device computes; others have no number. (Not a table: this runs for every operand, and comparing is faster.) */
export function dtypeNumber(dtype: DType): number {
  if (dtype === 'f32') return 0
  if (dtype === 'i32') return 1
  return dtype === 'bool' ? 2 : Number.NaN
}

export const REDUCE_KIND: Record<ReduceKind, number> = { sum: 0, max: 1, min: 2 }
export const RANDOM_KIND: Record<RandomKind, number> = { uniform: 0, normal: 1, bits: 2 }
/** What products round their operands to; others have no number. */
export const COMPUTE: Partial<Record<ComputeDType, number>> = { f32: 0, bf16: 1 }
export const ACTIVATION: Record<Activation, number> = { none: 0, gelu: 1, silu: 2, relu: 3 }
