// A matrix product in which excluded pairs have no influence at all.

import { run, runProgram } from '../ops/run-program'
import { program } from '../program'
import { emptyTensor, type Tensor } from '../tensor'

const FINITE = program('attention finite part', 1, 0, (b, x) => [
  b.select(b.isFinite(x), x, b.constant(0)),
  b.not(b.isFinite(x)),
])
const TAKES_PART = program('attention takes part', 1, 0, (b, scores) =>
  b.ne(scores, b.constant(Number.NEGATIVE_INFINITY)),
)
const SPREAD = program('attention spread', 2, 1, (b, product, hits, nan) => b.select(hits, nan, product))

/**
 * alpha·weights·x where pairs of score −∞ contribute nothing, whatever x holds. A product cannot select, so what is not finite is
 * left out of it and counted in a second one: a result is NaN when a pair that takes part brought such a value.
 */
export function selectingProduct(weights: Tensor, scores: Tensor, x: Tensor, alpha = 1): Tensor {
  const { backend } = weights.device
  const [finite, other] = runProgram(FINITE, [x])
  const shape = [...weights.shape.slice(0, -1), x.shape[x.rank - 1]]
  const product = emptyTensor(weights.device, shape, x.dtype)
  backend.matmul(weights, finite, product, { alpha })
  const hits = emptyTensor(weights.device, shape, x.dtype)
  backend.matmul(run(TAKES_PART, [scores]), other, hits)
  return run(SPREAD, [product, hits], [Number.NaN])
}
