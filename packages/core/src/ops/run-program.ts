// Runs an elementwise program into new tensors: what every elementwise op and gradient comes down to.

import type { DType } from '../dtype'
import type { Program } from '../program'
import { broadcastShapes, type Shape } from '../shape'
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
  const shape = checkedShape(program, operands, scalars.length, outputs.length)
  const { device } = operands[0]
  const results = outputs.map(({ dtype, perRow }) =>
    emptyTensor(device, perRow ? [...shape.slice(0, -1), 1] : shape, dtype),
  )
  execute(program, shape, operands, scalars, results)
  return results
}

/** `runProgram` for a program of one output of the first operand's dtype. */
export function run(
  program: Program,
  operands: readonly Tensor[],
  scalars: readonly number[] = [],
  dtype = operands[0].dtype,
): Tensor {
  const shape = checkedShape(program, operands, scalars.length, 1)
  const result = emptyTensor(operands[0].device, shape, dtype)
  execute(program, shape, operands, scalars, [result])
  return result
}

/** The operands' broadcast shape; throws where they are on several devices, or do not fit the program or each other. */
function checkedShape(program: Program, operands: readonly Tensor[], scalars: number, outputs: number): Shape {
  const given = program.scalars - program.constants.length
  if (operands.length !== program.inputs || scalars !== given || outputs !== program.outputs.length) {
    throw new RangeError(
      `program ${program.name}: got ${operands.length} operands, ${scalars} scalars and ${outputs} outputs ` +
        `(expected ${program.inputs}, ${given} and ${program.outputs.length})`,
    )
  }
  sharedDevice(program.name, operands)
  let { shape } = operands[0]
  for (let i = 1; i < operands.length; i++) shape = broadcastShapes(program.name, shape, operands[i].shape)
  return shape
}

function execute(
  program: Program,
  shape: Shape,
  operands: readonly Tensor[],
  scalars: readonly number[],
  results: readonly Tensor[],
): void {
  const numbers = program.constants.length ? [...scalars, ...program.constants] : scalars
  operands[0].device.backend.elementwise(program, shape, operands, numbers, results)
}
