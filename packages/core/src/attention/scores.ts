// The masked scores of a block of queries and keys: what both kernels of core start from.

import { bytesPerElement } from '../dtype'
import { transposed } from '../ops/matmul'
import { type Program, program, type Value } from '../program'
import { emptyTensor, type Tensor, viewOf } from '../tensor'
import { all, OUTSIDE, type TokenCoordinates, tokenCoordinates } from './coordinates'
import type { AttentionProblem } from './kernel'
import type { TensorOperands } from './problem'

/** Tokens first … last − 1. */
export interface Range {
  readonly first: number
  readonly last: number
}

export interface ScoreInputs {
  readonly problem: AttentionProblem
  readonly operands: TensorOperands
  readonly queries: TokenCoordinates
  readonly keys: TokenCoordinates
}

export function scoreInputs(problem: AttentionProblem, operands: TensorOperands): ScoreInputs {
  return {
    problem,
    operands,
    queries: tokenCoordinates(problem, operands, 'query'),
    keys: tokenCoordinates(problem, operands, 'key'),
  }
}

/** Part of one axis, as a view; an axis of size 1 broadcasts and stays whole. */
export function along(x: Tensor, axis: number, { first, last }: Range): Tensor {
  if (x.shape[axis] === 1) return x
  const shape = x.shape.map((n, i) => (i === axis ? last - first : n))
  return viewOf(x, shape, x.strides, x.byteOffset + first * x.strides[axis] * bytesPerElement(x.dtype))
}

/** [B, L, H, D] as [B, H, L, D], tokens in `range`: a view. */
export function byHead(x: Tensor, range: Range): Tensor {
  const [b, n, h, d] = x.shape
  const [sb, sn, sh, sd] = x.strides
  return along(viewOf(x, [b, h, n, d], [sb, sh, sn, sd]), 2, range)
}

/** [B|1, L] as a column [B|1, 1, L, 1] over queries, or a row [B|1, 1, 1, L] over keys, tokens in `range`. */
export function column(x: Tensor, range: Range): Tensor {
  return along(viewOf(x, [x.shape[0], 1, x.shape[1], 1], [x.strides[0], 0, x.strides[1], 0]), 2, range)
}

function row(x: Tensor, range: Range): Tensor {
  return transposed(column(x, range))
}

/** What a block's mask program reads besides the raw scores. */
type Extra = 'querySample' | 'keySample' | 'queryPosition' | 'keyPosition' | 'mask' | 'bias'

const programs = new Map<string, Program>()

/** Adds the bias and sets excluded pairs to −∞, by selection: what stood there has no influence. */
function maskProgram(present: readonly Extra[]): Program {
  const key = present.join()
  const found = programs.get(key)
  if (found) return found
  const made = program(`attention mask (${key})`, 1 + present.length, 0, (b, raw, ...values) => {
    const value = Object.fromEntries(present.map((name, i) => [name, values[i]])) as Partial<Record<Extra, Value>>
    const nothing = b.constant(Number.NEGATIVE_INFINITY)
    const { querySample, keySample, queryPosition, keyPosition, mask, bias } = value
    const conditions: Value[] = []
    if (querySample || keySample) {
      conditions.push(b.eq(querySample ?? b.constant(0), keySample ?? b.constant(0)))
    }
    if (queryPosition && keyPosition) conditions.push(b.le(keyPosition, queryPosition))
    if (mask) conditions.push(mask)
    if (bias) conditions.push(b.ne(bias, nothing))
    return b.select(all(b, conditions), bias ? b.add(raw, bias) : raw, nothing)
  })
  programs.set(key, made)
  return made
}

/** scale·q·kᵀ + bias of a block, [B, H, rows, columns]; −∞ where a pair is excluded. */
export function maskedScores(inputs: ScoreInputs, rows: Range, columns: Range): Tensor {
  const { problem, operands, queries, keys } = inputs
  const { q, k, factorQuery, factorKey } = operands
  const { backend } = q.device
  const shape = [q.shape[0], problem.heads, rows.last - rows.first, columns.last - columns.first]
  const scores = emptyTensor(q.device, shape, problem.dtype)
  backend.matmul(byHead(q, rows), transposed(byHead(k, columns)), scores, { alpha: problem.scale })
  if (factorQuery && factorKey) {
    backend.matmul(byHead(factorQuery, rows), transposed(byHead(factorKey, columns)), scores, { accumulate: true })
  }
  const pairs = (x: Tensor) => along(along(x, 2, rows), 3, columns)
  const extras: Partial<Record<Extra, Tensor>> = {
    querySample: queries.sample && column(queries.sample, rows),
    keySample: keys.sample && row(keys.sample, columns),
    queryPosition: queries.position && column(queries.position, rows),
    keyPosition: keys.position && row(keys.position, columns),
    mask: operands.mask && pairs(operands.mask),
    bias: operands.bias && pairs(operands.bias),
  }
  const present = (Object.keys(extras) as Extra[]).filter(name => extras[name])
  if (present.length === 0) return scores
  const mask = maskProgram(present)
  backend.elementwise(mask, shape, [scores, ...present.map(name => extras[name] as Tensor)], mask.constants, [scores])
  return scores
}

const CLEAR_KEYS = program('attention clear keys', 2, 0, (b, x, sample) =>
  b.select(b.le(sample, b.constant(OUTSIDE.key)), b.constant(0), x),
)

/** byHead(x) with the keys that take part in nothing set to 0: a product does not select, and 0·NaN is NaN. */
export function clearedKeys(inputs: ScoreInputs, x: Tensor, columns: Range): Tensor {
  const heads = byHead(x, columns)
  const { sample } = inputs.keys
  if (!sample) return heads
  const at = column(sample, columns)
  const shape = [Math.max(heads.shape[0], at.shape[0]), ...heads.shape.slice(1)]
  const cleared = emptyTensor(x.device, shape, x.dtype)
  x.device.backend.elementwise(CLEAR_KEYS, shape, [heads, at], CLEAR_KEYS.constants, [cleared])
  return cleared
}
