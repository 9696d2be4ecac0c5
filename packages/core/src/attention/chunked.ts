// Attention in blocks of queries and keys with the online softmax (Milakov and Gimelshein 2018, arXiv:1805.02867; as in FlashAttention,
// Dao et al. 2022, arXiv:2205.14135), made of core's primitives: for any device, in memory that does not grow with Lq·Lk.

import { transposed } from '../ops/matmul'
import { run, runProgram } from '../ops/run-program'
import { sumTo } from '../ops/sum-to'
import { program } from '../program'
import { internally } from '../scope'
import { disposeAll, emptyTensor, type Tensor } from '../tensor'
import { keepScale, keptWeights } from './dropout'
import { ATTENTION_CONTRACT, type AttentionContext, type AttentionKernel, type AttentionProblem } from './kernel'
import type { TensorOperands } from './problem'
import { along, byHead, clearedKeys, maskedScores, type Range, type ScoreInputs, scoreInputs } from './scores'
import { selectingProduct } from './selecting-product'
import { ALL_FEATURES, CLEAR_EMPTY_ROWS, DROP, PAIR_GRADIENT, ROW_DOT, supportsCore, WEIGHTS } from './softmax'

/** Tokens per block. */
export interface BlockSize {
  readonly queries: number
  readonly keys: number
}

/** What blocks aim at when nobody says: pairs over all samples and heads, and keys. */
const BLOCK_PAIRS = 2 ** 18
const BLOCK_KEYS = 256
const FEWEST_QUERIES = 32

function ranges(tokens: number, size: number): Range[] {
  const list: Range[] = []
  for (let first = 0; first < tokens; first += size) list.push({ first, last: Math.min(first + size, tokens) })
  return list
}

/** Where blocks lie: a function of the shape alone. */
function blocks(problem: AttentionProblem, batch: number, size: BlockSize | undefined) {
  const keys = size?.keys ?? Math.min(BLOCK_KEYS, problem.keyTokens)
  const queries = size?.queries ?? Math.max(FEWEST_QUERIES, Math.floor(BLOCK_PAIRS / (batch * problem.heads * keys)))
  return { rows: ranges(problem.queryTokens, queries), columns: ranges(problem.keyTokens, keys) }
}

/** A block's exponentials against the maximum so far; the new maximum and sum, and the factor on what was summed before. */
const STEP = program('attention online softmax', 3, 0, (b, scores, top, total) => {
  const newTop = b.max(top, b.rowMax(scores))
  const shift = b.select(b.eq(newTop, b.constant(Number.NEGATIVE_INFINITY)), b.constant(0), newTop)
  const e = b.exp(b.sub(scores, shift))
  const correction = b.exp(b.sub(top, shift))
  return [e, newTop, b.fma(total, correction, b.rowSum(e)), correction]
})
const RESCALE = program('attention rescale', 3, 0, (b, sum, correction, added) => b.fma(sum, correction, added))
const FINISH = program('attention finish', 2, 0, (b, sum, total) =>
  b.select(b.eq(total, b.constant(0)), b.constant(0), b.div(sum, total)),
)
const ADD = program('attention gradient sum', 2, 0, (b, x, y) => b.add(x, y))

/**
 * weights·x of a block. The samples of a packed batch share blocks, and one may hold NaN that must not reach another: there the product
 * selects. Elsewhere what a whole sample excludes was cleared before.
 */
function product(problem: AttentionProblem, weights: Tensor, scores: Tensor, x: Tensor, alpha = 1): Tensor {
  if (problem.features.has('offsets')) return selectingProduct(weights, scores, x, alpha)
  const batch = Math.max(weights.shape[0], x.shape[0])
  const out = emptyTensor(x.device, [batch, ...weights.shape.slice(1, -1), x.shape[3]], x.dtype)
  x.device.backend.matmul(weights, x, out, { alpha })
  return out
}

function dropper(problem: AttentionProblem, operands: TensorOperands, rows: Range, columns: Range) {
  if (problem.dropoutThreshold === 0) return (x: Tensor) => x
  const kept = keptWeights(problem, operands, rows, columns)
  return (x: Tensor) => run(DROP, [x, kept], [keepScale(problem)])
}

function forward(
  problem: AttentionProblem,
  operands: TensorOperands,
  ctx: AttentionContext,
  size: BlockSize | undefined,
) {
  const { q, v } = operands
  const { backend } = ctx
  const { heads, queryTokens, dtype } = problem
  const out = ctx.output('out') as Tensor
  const [top, total] = [0, 1].map(() => ctx.empty([q.shape[0], heads, queryTokens, 1], dtype) as Tensor)
  const inputs = scoreInputs(problem, operands)
  const { rows: rowRanges, columns: columnRanges } = blocks(problem, q.shape[0], size)
  for (const rows of rowRanges) {
    internally(() => {
      const shape = [q.shape[0], heads, rows.last - rows.first]
      let state = [
        q.device.full([...shape, 1], Number.NEGATIVE_INFINITY, { dtype }),
        q.device.zeros([...shape, 1], { dtype }),
        q.device.zeros([...shape, problem.valueDim], { dtype }),
      ]
      for (const columns of columnRanges) {
        const next = internally(() => step(inputs, rows, columns, state, v))
        disposeAll(state)
        state = next
      }
      const [blockTop, blockTotal, sum] = state
      backend.copy(run(FINISH, [sum, blockTotal]), byHead(out, rows))
      backend.copy(blockTop, along(top, 2, rows))
      backend.copy(blockTotal, along(total, 2, rows))
    })
  }
  return { out, saved: [out, top, total] }
}

/** Takes one block of keys into the running maximum, sum and weighted sum of values. */
function step(inputs: ScoreInputs, rows: Range, columns: Range, [top, total, sum]: Tensor[], v: Tensor): Tensor[] {
  const { problem, operands } = inputs
  const { dtype } = problem
  const scores = maskedScores(inputs, rows, columns)
  const [e, newTop, newTotal, correction] = runProgram(
    STEP,
    [scores, top, total],
    [],
    [{ dtype }, { dtype, perRow: true }, { dtype, perRow: true }, { dtype, perRow: true }],
  )
  const drop = dropper(problem, operands, rows, columns)
  const added = product(problem, drop(e), scores, clearedKeys(inputs, v, columns))
  return [newTop, newTotal, run(RESCALE, [sum, correction, added])]
}

/** Gradients summed over blocks: one tensor per part of an output that some block adds to. */
class Sums {
  private readonly parts = new Map<string, { sum: Tensor; target: Tensor }>()

  /** Adds `value`, summed to the shape of `target`; equal keys are one target. Call inside the block's scope. */
  add(key: string, target: Tensor, value: Tensor): Tensor[] {
    const reduced = sumTo(value, target.shape)
    const part = this.parts.get(key)
    if (part) {
      part.sum.device.backend.elementwise(ADD, target.shape, [part.sum, reduced], [], [part.sum])
      return []
    }
    this.parts.set(key, { sum: reduced, target })
    return [reduced, target]
  }

  store(): void {
    for (const { sum, target } of this.parts.values()) sum.device.backend.copy(sum, target)
  }
}

function backward(
  problem: AttentionProblem,
  operands: TensorOperands,
  [out, top, total]: readonly Tensor[],
  dOut: Tensor,
  ctx: AttentionContext,
  size: BlockSize | undefined,
) {
  const { q } = operands
  const inputs = scoreInputs(problem, operands)
  const { rows: rowRanges, columns: columnRanges } = blocks(problem, q.shape[0], size)
  const sums = new Sums()
  for (const rows of rowRanges) {
    internally(() => {
      const rowTotal = along(total, 2, rows)
      const g = run(CLEAR_EMPTY_ROWS, [byHead(dOut, rows), rowTotal])
      const [delta] = runProgram(ROW_DOT, [g, byHead(out, rows)], [], [{ dtype: problem.dtype, perRow: true }])
      const row = { rows, g, delta, top: along(top, 2, rows), total: rowTotal }
      return columnRanges.flatMap(columns => internally(() => blockGradients(inputs, row, columns, sums, ctx)))
    })
  }
  sums.store()
  const { gradients } = problem
  return {
    ...(gradients.q && { q: ctx.output('q') }),
    ...(gradients.k && { k: ctx.output('k') }),
    ...(gradients.v && { v: ctx.output('v') }),
    ...(gradients.bias && { bias: ctx.output('bias') }),
    ...(gradients.factors && { factorQuery: ctx.output('factorQuery'), factorKey: ctx.output('factorKey') }),
  }
}

/** What backward knows of a block of queries: the output's gradient, its dot product with the output, and the statistics. */
interface RowState {
  readonly rows: Range
  readonly g: Tensor
  readonly delta: Tensor
  readonly top: Tensor
  readonly total: Tensor
}

/** Adds one block's share to the gradients; returns the tensors that must outlive the block. */
function blockGradients(
  inputs: ScoreInputs,
  { rows, g, delta, top, total }: RowState,
  columns: Range,
  sums: Sums,
  ctx: AttentionContext,
): Tensor[] {
  const { problem, operands } = inputs
  const { q, k, v, factorQuery, factorKey, bias } = operands
  const { gradients, scale } = problem
  const lasting: Tensor[] = []
  const add = (name: 'q' | 'k' | 'v' | 'factorQuery' | 'factorKey', range: Range, value: Tensor) => {
    lasting.push(...sums.add(`${name} ${range.first}`, byHead(ctx.output(name) as Tensor, range), value))
  }
  const scores = maskedScores(inputs, rows, columns)
  const scoresT = transposed(scores)
  const weights = run(WEIGHTS, [scores, top, total])
  const drop = dropper(problem, operands, rows, columns)
  if (gradients.v) add('v', columns, product(problem, transposed(drop(weights)), scoresT, g))

  const dWeights = emptyTensor(q.device, weights.shape, problem.dtype)
  ctx.backend.matmul(g, transposed(byHead(v, columns)), dWeights)
  const dScores = run(PAIR_GRADIENT, [weights, drop(dWeights), delta, scores])
  const dScoresT = transposed(dScores)
  const clearedRows = (x: Tensor) => run(CLEAR_EMPTY_ROWS, [byHead(x, rows), total])
  if (gradients.q) add('q', rows, product(problem, dScores, scores, clearedKeys(inputs, k, columns), scale))
  if (gradients.k) add('k', columns, product(problem, dScoresT, scoresT, clearedRows(q), scale))
  if (gradients.bias && bias) {
    const target = along(along(ctx.output('bias') as Tensor, 2, rows), 3, columns)
    const [, , queries, keys] = bias.shape
    if (queries > 1 && keys > 1) ctx.backend.copy(sumTo(dScores, target.shape), target)
    else lasting.push(...sums.add(`bias ${queries > 1 && rows.first} ${keys > 1 && columns.first}`, target, dScores))
  }
  if (gradients.factors && factorQuery && factorKey) {
    add('factorQuery', rows, product(problem, dScores, scores, clearedKeys(inputs, factorKey, columns)))
    add('factorKey', columns, product(problem, dScoresT, scoresT, clearedRows(factorQuery)))
  }
  return lasting
}

/**
 * The chunked kernel with blocks of another size, to be given to a device: smaller ones take less memory. Throws unless both sizes are
 * whole numbers above 0.
 */
export function chunkedAttention(size?: BlockSize): AttentionKernel {
  if (size && ![size.queries, size.keys].every(n => Number.isInteger(n) && n > 0)) {
    throw new RangeError(
      `chunkedAttention: blocks of ${size.queries} queries and ${size.keys} keys (expected whole numbers above 0)`,
    )
  }
  return {
    name: size ? `chunked-${size.queries}x${size.keys}` : 'chunked',
    contract: ATTENTION_CONTRACT,
    features: ALL_FEATURES,
    supports: supportsCore,
    forward: (problem, operands, ctx) => forward(problem, operands as TensorOperands, ctx, size),
    backward: (problem, operands, saved, dOut, ctx) =>
      backward(problem, operands as TensorOperands, saved as Tensor[], dOut as Tensor, ctx, size),
  }
}
