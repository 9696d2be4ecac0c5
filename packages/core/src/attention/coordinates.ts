// Where a token stands: its sample and its position within it. Two tokens meet when their samples are equal, and causal
// attention compares their positions; masks, lengths and offsets all come down to these two numbers per token.

import { run, runProgram } from '../ops/run-program'
import { type Program, type ProgramBuilder, program, type Value } from '../program'
import { type Tensor, viewOf } from '../tensor'
import type { AttentionProblem } from './kernel'
import type { TensorOperands } from './problem'

/** Samples of tokens that take part in nothing: below 0, and different for queries and keys so that they do not meet. */
export const OUTSIDE = { query: -1, key: -2 } as const

/** Float [B|1, L]; undefined where all tokens of a sample take part, or where nothing compares positions. */
export interface TokenCoordinates {
  readonly sample: Tensor | undefined
  /** From the sample's first token ('top-left') or from behind its last ('bottom-right'). */
  readonly position: Tensor | undefined
}

/** The coordinates of one side of a problem. Positions are exact to 2^24 tokens in f32. */
export function tokenCoordinates(
  problem: AttentionProblem,
  operands: TensorOperands,
  side: 'query' | 'key',
): TokenCoordinates {
  const tokens = side === 'query' ? problem.queryTokens : problem.keyTokens
  const offsets = side === 'query' ? operands.queryOffsets : operands.keyOffsets
  const mask = side === 'query' ? operands.queryMask : operands.keyMask
  const lengths = side === 'query' ? operands.queryLengths : operands.keyLengths
  const index = operands.q.device.arange(tokens)
  if (offsets) return packedCoordinates(problem, side, index, offsets, mask, lengths)

  const position = problem.causal && positions(problem, index, tokens)
  if (!mask && !lengths) return { sample: undefined, position }
  const inputs = [index, mask, lengths && viewOf(lengths, [problem.batch, 1], [1, 1])].filter(t => t !== undefined)
  const sample = run(paddedSample(mask !== undefined, lengths !== undefined), inputs, [OUTSIDE[side]], problem.dtype)
  return { sample, position }
}

const POSITION = program('attention position', 1, 1, (b, index, origin) => b.sub(index, origin))

function positions(problem: AttentionProblem, index: Tensor, tokens: number): Tensor {
  const position = run(POSITION, [index], [problem.causal === 'bottom-right' ? tokens : 0], problem.dtype)
  return viewOf(position, [1, tokens], [tokens, 1])
}

/** Over [B, L]: 0 where a token is valid. */
function paddedSample(hasMask: boolean, hasLengths: boolean): Program {
  return program('attention padding', 1 + Number(hasMask) + Number(hasLengths), 1, (b, index, ...rest) => {
    const mask = hasMask ? rest.shift() : undefined
    const lengths = hasLengths ? rest.shift() : undefined
    const conditions = [mask, lengths && b.lt(index, lengths)].filter(c => c !== undefined)
    return b.select(all(b, conditions), b.constant(0), rest[0])
  })
}

export function all(b: ProgramBuilder, conditions: readonly Value[]): Value {
  return conditions.reduce((x, y) => b.and(x, y))
}

/** Over [L, S]: finds each token's sample among the offsets. Exactly one holds it, or none. */
function packedProgram(hasMask: boolean, hasLengths: boolean, bottomRight: boolean): Program {
  const inputs = 4 + Number(hasMask) + Number(hasLengths)
  return program('attention packing', inputs, 1, (b, index, number, first, last, ...rest) => {
    const mask = hasMask ? rest.shift() : undefined
    const lengths = hasLengths ? rest.shift() : undefined
    const inside = b.and(b.le(first, index), b.lt(index, last))
    const own = (value: Value) => b.rowSum(b.select(inside, value, b.constant(0)))
    const position = b.sub(index, own(first))
    const conditions = [b.rowSum(inside), mask, lengths && b.lt(position, own(lengths))].filter(c => c !== undefined)
    const sample = b.select(all(b, conditions), own(number), rest[0])
    return [sample, bottomRight ? b.sub(position, own(b.sub(last, first))) : position]
  })
}

function packedCoordinates(
  problem: AttentionProblem,
  side: 'query' | 'key',
  index: Tensor,
  offsets: Tensor,
  mask: Tensor | undefined,
  lengths: Tensor | undefined,
): TokenCoordinates {
  const { batch: samples, dtype } = problem
  const tokens = index.shape[0]
  const column = (x: Tensor) => viewOf(x, [tokens, 1], [1, 1])
  const row = (x: Tensor, skip = 0) => viewOf(x, [1, samples], [samples, 1], x.byteOffset + 4 * skip)
  const inputs = [
    column(index),
    row(index.device.arange(samples)),
    row(offsets),
    row(offsets, 1),
    mask && column(mask),
    lengths && row(lengths),
  ].filter(t => t !== undefined)
  const find = packedProgram(mask !== undefined, lengths !== undefined, problem.causal === 'bottom-right')
  const outputs = runProgram(
    find,
    inputs,
    [OUTSIDE[side]],
    [
      { dtype, perRow: true },
      { dtype, perRow: true },
    ],
  )
  const [sample, position] = outputs.map(x => viewOf(x, [1, tokens], [tokens, 1]))
  return { sample, position: problem.causal && position }
}
