// Runs an elementwise program into new tensors: what every elementwise op and gradient comes down to.

import type { DType } from '../dtype'
import type { Program } from '../program'
import { broadcastShapes } from '../shape'
import { emptyTensor, type Tensor } from '../tensor'
import { sharedDevice } from './operands'

/** Where an output of a program goes: a dtype, and whether it keeps one value per row (last axis 1). */
export interface ProgramOutput {
  readonly dtype: DType
  readonly perRow?: boolean
}

/**
 * Runs `program` over the operands' broadcast shape and returns its outputs as new tensors, each of that shape (or with
 * its last axis 1). Not recorded: this is the tool for writing ops, gradients and custom ops.
 */
export function runProgram(
  program: Program,
  operands: readonly Tensor[],
  scalars: readonly number[] = [],
  outputs: readonly ProgramOutput[] = program.outputs.map(() => ({ dtype: operands[0].dtype })),
): Tensor[] {
  const given = program.scalars - program.constants.length
  if (operands.length !== program.inputs || scalars.length !== given || outputs.length !== program.outputs.length) {
    throw new RangeError(
      `program ${program.name}: got ${operands.length} operands, ${scalars.length} scalars and ${outputs.length} outputs ` +
        `(expected ${program.inputs}, ${given} and ${program.outputs.length})`,
    )
  }
  const device = sharedDevice(program.name, operands)
  let shape: readonly number[] = operands[0].shape
  for (let i = 1; i < operands.length; i++) shape = broadcastShapes(program.name, shape, operands[i].shape)
  const results = outputs.map(({ dtype, perRow }) =>
    emptyTensor(device, perRow ? [...shape.slice(0, -1), 1] : shape, dtype),
  )
  device.backend.elementwise(
    program,
    shape,
    operands,
    program.constants.length ? [...scalars, ...program.constants] : scalars,
    results,
  )
  return results
}

/** `runProgram` for a program of one output of the first operand's dtype. */
export function run(
  program: Program,
  operands: readonly Tensor[],
  scalars: readonly number[] = [],
  dtype = operands[0].dtype,
): Tensor {
  return runProgram(program, operands, scalars, [{ dtype }])[0]
}
