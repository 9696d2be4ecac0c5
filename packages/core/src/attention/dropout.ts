// Which attention weights a call keeps, drawn on the host: for the kernels of core, which are made of ops that cannot.

import { philox4x32 } from '../random/philox'
import type { Tensor } from '../tensor'
import type { AttentionProblem } from './kernel'
import type { TensorOperands } from './problem'
import type { Range } from './scores'

/** The factor on kept weights: the inverse of the quantised keep rate. */
export function keepScale(problem: AttentionProblem): number {
  return 65536 / (65536 - problem.dropoutThreshold)
}

/** A token's sample, and where that sample's tokens lie on both sides. */
interface Span {
  readonly sample: number
  readonly queryFirst: number
  readonly keyFirst: number
  readonly keyLast: number
}

/**
 * bool [B (1 if packed), H, rows, columns]: whether a weight is kept (formula in random/philox.ts). Throws for a packed batch whose offsets
 * the host does not know.
 */
export function keptWeights(problem: AttentionProblem, operands: TensorOperands, rows: Range, columns: Range): Tensor {
  const { host, q } = operands
  const key = host?.rngKey
  if (!key) throw new Error('attention dropout: the kernels of core draw on the host and were given no key there')
  const batch = q.shape[0]
  const height = rows.last - rows.first
  const width = columns.last - columns.first
  const kept = new Uint8Array(batch * problem.heads * height * width)
  const words = new Uint32Array(4)
  const spanOf = spans(problem, operands)
  let at = 0
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < problem.heads; h++) {
      for (let i = rows.first; i < rows.last; i++, at += width) {
        const span = spanOf(b, i)
        if (!span) continue
        const first = Math.max(columns.first, span.keyFirst)
        const last = Math.min(columns.last, span.keyLast)
        for (let c = first; c < last; c++) {
          const j = c - span.keyFirst
          const lane = j & 7
          if (lane === 0 || c === first) {
            philox4x32(j >>> 3, i - span.queryFirst, h, span.sample, key.low, key.high, words)
          }
          const bits = (words[lane >> 1] >>> ((lane & 1) * 16)) & 0xffff
          kept[at + c - columns.first] = Number(bits >= problem.dropoutThreshold)
        }
      }
    }
  }
  return q.device.tensor(kept, [batch, problem.heads, height, width])
}

function spans(problem: AttentionProblem, operands: TensorOperands): (b: number, i: number) => Span | undefined {
  if (!operands.queryOffsets) {
    return b => ({ sample: b, queryFirst: 0, keyFirst: 0, keyLast: problem.keyTokens })
  }
  const offsets = operands.host?.offsets
  if (!offsets) {
    throw new Error(
      'attention: dropout in a packed batch whose offsets were computed on the device needs a kernel that draws there; ' +
        'pass offsets uploaded with device.tensor(Int32Array), or leave dropout out',
    )
  }
  const { query, key } = offsets
  return (_, i) => {
    let sample = 0
    while (sample < problem.batch && !(query[sample] <= i && i < query[sample + 1])) sample++
    if (sample === problem.batch) return undefined
    return { sample, queryFirst: query[sample], keyFirst: key[sample], keyLast: key[sample + 1] }
  }
}
