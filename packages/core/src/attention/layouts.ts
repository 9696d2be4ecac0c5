// Converts the layouts of other attention code to the contract's and back: tokens first as in PETR and PyTorch, heads packed into
// channels, and heads packed into the batch.

import { expand, permute, reshape } from '../ops/layout'
import { checkTensor } from '../ops/operands'
import { internally } from '../scope'
import { showShape } from '../shape'
import type { Tensor } from '../tensor'

function checkRank(op: string, name: string, x: Tensor, form: string, rank: number): void {
  checkTensor(op, name, x)
  if (x.rank !== rank) throw new RangeError(`${op}: ${name} has shape ${showShape(x.shape)} (expected ${form})`)
}

function checkHeads(op: string, heads: number, size: number, what: string): void {
  if (!Number.isInteger(heads) || heads < 1 || size % heads !== 0) {
    throw new RangeError(`${op}: ${heads} heads do not divide ${what} of ${size}`)
  }
}

/** PETR's [num_query, bs, num_features] and PyTorch's [L, B, C] → [B, L, C]. Copies. */
export function fromSequenceFirst(x: Tensor): Tensor {
  checkRank('fromSequenceFirst', 'x', x, '[tokens, batch, channels]', 3)
  return permute(x, [1, 0, 2])
}

/** [B, L, C] → [L, B, C]. Copies. */
export function toSequenceFirst(x: Tensor): Tensor {
  checkRank('toSequenceFirst', 'x', x, '[batch, tokens, channels]', 3)
  return permute(x, [1, 0, 2])
}

/** [B, L, H·D] → [B, L, H, D], as attention takes it: the same memory. */
export function splitHeads(x: Tensor, heads: number): Tensor {
  checkRank('splitHeads', 'x', x, '[batch, tokens, channels]', 3)
  checkHeads('splitHeads', heads, x.shape[2], 'the channels')
  return reshape(x, [x.shape[0], x.shape[1], heads, x.shape[2] / heads])
}

/** [B, L, H, D] → [B, L, H·D]: the same memory. */
export function mergeHeads(x: Tensor): Tensor {
  checkRank('mergeHeads', 'x', x, '[batch, tokens, heads, head dim]', 4)
  return reshape(x, [x.shape[0], x.shape[1], x.shape[2] * x.shape[3]])
}

/** A mask, bias or weights [B·H, L, S], heads of a sample next to each other as in PyTorch, → [B, H, L, S]: the same memory. */
export function fromBatchHeads(pairs: Tensor, heads: number): Tensor {
  checkRank('fromBatchHeads', 'pairs', pairs, '[batch·heads, queries, keys]', 3)
  checkHeads('fromBatchHeads', heads, pairs.shape[0], 'a batch')
  return reshape(pairs, [pairs.shape[0] / heads, heads, pairs.shape[1], pairs.shape[2]])
}

/**
 * A mask, bias or weights [B|1, H|1, L, S] → [batch·heads, L, S]. The same memory where it has all heads of all samples; that layout
 * cannot broadcast, so what is shared over heads or samples is written out for each of them.
 */
export function toBatchHeads(pairs: Tensor, batch: number, heads: number): Tensor {
  checkRank('toBatchHeads', 'pairs', pairs, '[batch or 1, heads or 1, queries, keys]', 4)
  const [b, h, queries, keys] = pairs.shape
  if ((b !== batch && b !== 1) || (h !== heads && h !== 1)) {
    throw new RangeError(
      `toBatchHeads: pairs has shape ${showShape(pairs.shape)} (expected [${batch} or 1, ${heads} or 1, queries, keys])`,
    )
  }
  return internally(() => reshape(expand(pairs, [batch, heads, queries, keys]), [batch * heads, queries, keys]))
}
