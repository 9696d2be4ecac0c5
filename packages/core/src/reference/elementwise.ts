// Interprets an elementwise program row by row. A register that is the same for a whole row (a scalar, a row sum, an
// operand broadcast along the last axis, and what is computed from such) holds one number, any other a row of them.

import type { Instruction, Program } from '../program'
import { type Shape, showShape } from '../shape'
import { BINARY, ROW, TERNARY, UNARY } from './functions'
import { broadcastStrides, loadElement, offsetsOf, storeElement, type View } from './view'

/** A view broadcast to the program's shape: where each row begins, and the step along it. */
interface Rows {
  readonly view: View
  readonly starts: Int32Array
  readonly step: number
}

function rowsOf(view: View, shape: Shape): Rows {
  const strides = broadcastStrides(view.shape, view.strides, shape)
  return { view, starts: offsetsOf(shape.slice(0, -1), strides, view.start), step: strides[strides.length - 1] }
}

export function elementwise(
  program: Program,
  shape: Shape,
  inputs: readonly View[],
  scalars: readonly number[],
  outputs: readonly View[],
): void {
  const fullShape = shape.length === 0 ? [1] : shape
  const length = fullShape[fullShape.length - 1]
  const sources = inputs.map(view => rowsOf(view, fullShape))
  const targets = outputs.map(view => rowsOf(view, fullShape))
  const registers = makeRegisters(program, length, sources, scalars)
  checkOutputs(program, length, registers, outputs)

  const rowCount = sizeOfRows(fullShape)
  for (let row = 0; row < rowCount; row++) {
    for (const [n, { view, starts, step }] of sources.entries()) {
      const register = registers[n]
      for (let i = 0; i < register.length; i++) register[i] = loadElement(view, starts[row] + i * step)
    }
    for (const [n, instruction] of program.instructions.entries()) {
      const args = instruction.args.map(register => registers[register])
      run(instruction.code, args, length, registers[program.inputs + program.scalars + n])
    }
    for (const [n, { view, starts, step }] of targets.entries()) {
      const register = registers[program.outputs[n]]
      const count = view.shape[view.shape.length - 1] === 1 ? 1 : length
      for (let i = 0; i < count; i++)
        storeElement(view, starts[row] + i * step, register[register.length === 1 ? 0 : i])
    }
  }
}

/** Registers of one number or of `length`; scalars are filled in. */
function makeRegisters(program: Program, length: number, sources: Rows[], scalars: readonly number[]): Float64Array[] {
  const registers = sources.map(({ step }) => new Float64Array(step === 0 ? 1 : length))
  for (const scalar of scalars) registers.push(Float64Array.of(scalar))
  for (const { code, args } of program.instructions) {
    const uniform = code === 'rowSum' || code === 'rowMax' || args.every(register => registers[register].length === 1)
    registers.push(new Float64Array(uniform ? 1 : length))
  }
  return registers
}

function checkOutputs(program: Program, length: number, registers: Float64Array[], outputs: readonly View[]): void {
  for (const [n, { shape }] of outputs.entries()) {
    const stored = shape.length === 0 ? 1 : shape[shape.length - 1]
    const width = registers[program.outputs[n]].length
    if (stored !== length && !(stored === 1 && width === 1)) {
      throw new RangeError(
        `program ${program.name}: output ${n} of shape ${showShape(shape)} has one number per row of ${length}, ` +
          'but its register varies along the row (end it with rowSum or rowMax)',
      )
    }
  }
}

function sizeOfRows(shape: Shape): number {
  return shape.slice(0, -1).reduce((count, n) => count * n, 1)
}

function run(code: Instruction['code'], args: Float64Array[], length: number, out: Float64Array): void {
  const [a, b, c] = args
  const [stepA, stepB, stepC] = args.map(register => (register.length === 1 ? 0 : 1))
  if (code === 'rowSum' || code === 'rowMax') {
    const { start, combine } = ROW[code]
    let result = start
    for (let i = 0; i < length; i++) result = combine(result, a[i * stepA])
    out[0] = result
  } else if (code in UNARY) {
    const f = UNARY[code as keyof typeof UNARY]
    for (let i = 0; i < out.length; i++) out[i] = f(a[i * stepA])
  } else if (code in BINARY) {
    const f = BINARY[code as keyof typeof BINARY]
    for (let i = 0; i < out.length; i++) out[i] = f(a[i * stepA], b[i * stepB])
  } else {
    const f = TERNARY[code as keyof typeof TERNARY]
    for (let i = 0; i < out.length; i++) out[i] = f(a[i * stepA], b[i * stepB], c[i * stepC])
  }
}
