// The readable kernel: scores of all pairs, softmax, product. It keeps an Lq×Lk matrix while it runs, and is exact
// everywhere: no value of an excluded pair reaches a result, NaN and Infinity included.

import { transposed } from '../ops/matmul'
import { run, runProgram } from '../ops/run-program'
import { sumTo } from '../ops/sum-to'
import { emptyTensor, type Tensor } from '../tensor'
import { keepScale, keptWeights } from './dropout'
import { ATTENTION_CONTRACT, type AttentionContext, type AttentionKernel, type AttentionProblem } from './kernel'
import type { TensorOperands } from './problem'
import { byHead, maskedScores, type Range, scoreInputs } from './scores'
import { selectingProduct } from './selecting-product'
import { ALL_FEATURES, CLEAR_EMPTY_ROWS, DROP, PAIR_GRADIENT, ROW_DOT, SOFTMAX, supportsCore, WEIGHTS } from './softmax'

function wholeRanges(problem: AttentionProblem): [Range, Range] {
  return [
    { first: 0, last: problem.queryTokens },
    { first: 0, last: problem.keyTokens },
  ]
}

/** Softmax weights [B, H, Lq, Lk] after dropout, their scores, and each row's maximum and sum. */
export function standardWeights(problem: AttentionProblem, operands: TensorOperands) {
  const [rows, columns] = wholeRanges(problem)
  const scores = maskedScores(scoreInputs(problem, operands), rows, columns)
  const { dtype } = problem
  const [weights, top, total] = runProgram(
    SOFTMAX,
    [scores],
    [],
    [{ dtype }, { dtype, perRow: true }, { dtype, perRow: true }],
  )
  const kept = problem.dropoutThreshold > 0 ? keptWeights(problem, operands, rows, columns) : undefined
  const dropped = kept ? run(DROP, [weights, kept], [keepScale(problem)]) : weights
  return { weights: dropped, scores, top, total }
}

function forward(problem: AttentionProblem, operands: TensorOperands, ctx: AttentionContext) {
  const { weights, scores, top, total } = standardWeights(problem, operands)
  const out = ctx.output('out') as Tensor
  const [rows, columns] = wholeRanges(problem)
  ctx.backend.copy(selectingProduct(weights, scores, byHead(operands.v, columns)), byHead(out, rows))
  return { out, saved: [out, top, total] }
}

function backward(
  problem: AttentionProblem,
  operands: TensorOperands,
  saved: readonly Tensor[],
  dOut: Tensor,
  ctx: AttentionContext,
) {
  const { q, k, v, factorQuery, factorKey, bias } = operands
  const { gradients } = problem
  const [out, top, total] = saved
  const [rows, columns] = wholeRanges(problem)
  const scores = maskedScores(scoreInputs(problem, operands), rows, columns)
  const scoresT = transposed(scores)
  const weights = run(WEIGHTS, [scores, top, total])
  const g = run(CLEAR_EMPTY_ROWS, [byHead(dOut, rows), total])
  const kept = problem.dropoutThreshold > 0 ? keptWeights(problem, operands, rows, columns) : undefined
  const drop = (x: Tensor) => (kept ? run(DROP, [x, kept], [keepScale(problem)]) : x)

  const result: Record<string, Tensor> = {}
  const put = (name: 'q' | 'k' | 'v' | 'factorQuery' | 'factorKey', value: Tensor) => {
    const target = ctx.output(name) as Tensor
    const heads = byHead(target, { first: 0, last: target.shape[1] })
    ctx.backend.copy(sumTo(value, heads.shape), heads)
    result[name] = target
  }
  if (gradients.v) put('v', selectingProduct(transposed(drop(weights)), scoresT, g))

  const dWeights = emptyTensor(q.device, weights.shape, problem.dtype)
  ctx.backend.matmul(g, transposed(byHead(v, columns)), dWeights)
  const [delta] = runProgram(ROW_DOT, [g, byHead(out, rows)], [], [{ dtype: problem.dtype, perRow: true }])
  const dScores = run(PAIR_GRADIENT, [weights, drop(dWeights), delta, scores])
  const dScoresT = transposed(dScores)
  if (gradients.q) put('q', selectingProduct(dScores, scores, byHead(k, columns), problem.scale))
  if (gradients.k) put('k', selectingProduct(dScoresT, scoresT, byHead(q, rows), problem.scale))
  if (gradients.bias && bias) {
    result.bias = ctx.output('bias') as Tensor
    ctx.backend.copy(sumTo(dScores, bias.shape), result.bias)
  }
  if (gradients.factors && factorQuery && factorKey) {
    put('factorQuery', selectingProduct(dScores, scores, byHead(factorKey, columns)))
    put('factorKey', selectingProduct(dScoresT, scoresT, byHead(factorQuery, rows)))
  }
  return result
}

export const standardKernel: AttentionKernel = {
  name: 'standard',
  contract: ATTENTION_CONTRACT,
  features: ALL_FEATURES,
  supports: supportsCore,
  forward: (problem, operands, ctx) => forward(problem, operands as TensorOperands, ctx),
  backward: (problem, operands, saved, dOut, ctx) =>
    backward(problem, operands as TensorOperands, saved as Tensor[], dOut as Tensor, ctx),
}
