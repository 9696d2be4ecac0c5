// Elementwise programs: a short, fixed list of instructions that a backend runs over broadcast operands. Unary,
// binary and fused functions, row reductions (softmax, layer norm) and all their gradients are programs, written
// once in core: interpreted tile by tile on the CPU, generated as WGSL, templated on CUDA.

/**
 * What an instruction computes. Registers hold floats (f32; f64 on the f64 reference): bool operands load as 0 and 1,
 * i32 as floats (exact to 2^24). Comparisons and logic give 0 or 1.
 *
 * - `rowSum`, `rowMax`: over the last axis of the broadcast shape; their result is the same number for the whole row
 *   and may be used by any later instruction (a program with two of them in a chain is a two-pass row kernel).
 * - `select`: a ≠ 0 ? b : c, by selection: a NaN in the branch not taken has no influence.
 * - `min`, `max` propagate NaN. `pow(a, b)` is as C's `pow`. `sign(0)` is 0. `round` is half to even.
 * - `gelu` is the tanh approximation; `geluGrad` its derivative. `erf`-GELU is not provided.
 */
export type UnaryCode =
  | 'neg'
  | 'abs'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'rsqrt'
  | 'reciprocal'
  | 'tanh'
  | 'sigmoid'
  | 'sin'
  | 'cos'
  | 'floor'
  | 'round'
  | 'sign'
  | 'isFinite'
  | 'not'
  | 'gelu'
  | 'geluGrad'
  | 'rowSum'
  | 'rowMax'
export type BinaryCode =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'min'
  | 'max'
  | 'pow'
  | 'lt'
  | 'le'
  | 'eq'
  | 'ne'
  | 'and'
  | 'or'
export type TernaryCode = 'select' | 'fma'

/** Register numbers: operands are 0 … inputs−1, scalars follow, then one register per instruction, in order. */
export type Register = number

export interface Instruction {
  readonly code: UnaryCode | BinaryCode | TernaryCode
  /** One, two or three registers, all defined before this instruction. */
  readonly args: readonly Register[]
}

export interface Program {
  /** For error messages, profiles and generated kernels; equal names need not mean equal programs. */
  readonly name: string
  readonly inputs: number
  /** Numbers given at each run, the same for every element; the last `constants.length` of them are the constants. */
  readonly scalars: number
  readonly constants: readonly number[]
  readonly instructions: readonly Instruction[]
  /** Registers written to the outputs, in order. */
  readonly outputs: readonly Register[]
  /** A key equal exactly for equal programs: backends cache what they compile by it. */
  readonly key: string
}

/** Instruction numbers as native backends see them: the position in this list. Append only. */
export const OPCODES = [
  'neg',
  'abs',
  'exp',
  'log',
  'sqrt',
  'rsqrt',
  'reciprocal',
  'tanh',
  'sigmoid',
  'sin',
  'cos',
  'floor',
  'round',
  'sign',
  'isFinite',
  'not',
  'gelu',
  'geluGrad',
  'rowSum',
  'rowMax',
  'add',
  'sub',
  'mul',
  'div',
  'min',
  'max',
  'pow',
  'lt',
  'le',
  'eq',
  'ne',
  'and',
  'or',
  'select',
  'fma',
] as const satisfies readonly (UnaryCode | BinaryCode | TernaryCode)[]

/** The most operands, scalars and instructions a program may have; a backend may count on them. */
export const PROGRAM_LIMITS = { inputs: 8, scalars: 8, instructions: 48, outputs: 4 } as const

/** A value while a program is being written. */
export class Value {
  constructor(readonly register: number) {}
}

/** Writes a program as an expression: `program('silu', 1, 0, (b, x) => b.mul(x, b.sigmoid(x)))`. */
export type ProgramBuilder = Record<UnaryCode, (a: Value) => Value> &
  Record<BinaryCode, (a: Value, b: Value) => Value> &
  Record<TernaryCode, (a: Value, b: Value, c: Value) => Value> & { constant(value: number): Value }

/**
 * Builds a program of `inputs` operands and `scalars` numbers. `body` receives the builder, then one value per operand,
 * then one per scalar, and returns the output value or values; it may run more than once. Throws when a limit of `PROGRAM_LIMITS` is passed.
 */
export function program(
  name: string,
  inputs: number,
  scalars: number,
  body: (b: ProgramBuilder, ...values: Value[]) => Value | Value[],
): Program {
  const constants: number[] = []
  let instructions: Instruction[] = []
  const scalarsBefore = inputs + scalars
  const emit = (code: Instruction['code'], args: Value[]) => {
    instructions.push({ code, args: args.map(a => a.register) })
    return new Value(scalarsBefore + constants.length + instructions.length - 1)
  }
  const builder = {
    ...Object.fromEntries(OPCODES.map(code => [code, (...args: Value[]) => emit(code, args)])),
    constant: (value: number) => {
      // Not indexOf, to which NaN is never there and −0 is 0.
      const found = constants.findIndex(constant => Object.is(constant, value))
      return new Value(scalarsBefore + (found < 0 ? constants.push(value) - 1 : found))
    },
  } as unknown as ProgramBuilder
  const values = Array.from({ length: scalarsBefore }, (_, i) => new Value(i))
  // Constants sit before the instructions, so their number must be known first: run again once it no longer grows.
  let result: Value | Value[]
  let known: number
  do {
    known = constants.length
    instructions = []
    result = body(builder, ...values)
  } while (constants.length > known)
  const outputs = (Array.isArray(result) ? result : [result]).map(v => v.register)
  const total = scalars + constants.length
  const counts = { inputs, scalars: total, instructions: instructions.length, outputs: outputs.length }
  for (const [what, limit] of Object.entries(PROGRAM_LIMITS)) {
    const count = counts[what as keyof typeof counts]
    if (count > limit) throw new RangeError(`program ${name}: ${count} ${what}, at most ${limit} are allowed`)
  }
  const key = `${inputs},${total};${instructions.map(i => `${i.code}(${i.args})`).join(';')};${outputs}`
  return { name, inputs, scalars: total, constants, instructions, outputs, key }
}
