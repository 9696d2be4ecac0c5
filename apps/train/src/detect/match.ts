// Which prediction answers for which object: the pairs of least cost (DETR, Carion et al. 2020, arXiv:2005.12872), with the focal cost of
// Deformable DETR (Zhu et al. 2020, arXiv:2010.04159).

import { linearAssignment } from '@ditkit/flow-matching'
import { BOX_SIZE, type Box, NUMBER_WEIGHTS, writeBox } from './box'
import { FOCAL } from './focal'

/** What a pair costs, and what a wrong one is charged in the loss. */
export const WEIGHTS = { category: 2, box: 0.5 } as const

/** Numbers of one layer's predictions for one scene. */
export interface Predicted {
  /** [queries, categories] before the sigmoid. */
  readonly logits: Float32Array
  /** [queries, BOX_SIZE] */
  readonly boxes: Float32Array
}

/** For each box the query that answers for it. Throws a RangeError where there are fewer queries than boxes. */
export function matchBoxes({ logits, boxes }: Predicted, truth: readonly Box[]): Int32Array {
  const queries = boxes.length / BOX_SIZE
  const categories = logits.length / queries
  const cost = new Float64Array(truth.length * queries)
  const wanted = new Float32Array(BOX_SIZE)
  for (const [row, box] of truth.entries()) {
    writeBox(box, wanted, 0)
    for (let query = 0; query < queries; query++) {
      let distance = 0
      for (let k = 0; k < BOX_SIZE; k++)
        distance += NUMBER_WEIGHTS[k] * Math.abs(boxes[query * BOX_SIZE + k] - wanted[k])
      const wrong = WEIGHTS.category * focalCost(logits[query * categories + box.category])
      cost[row * queries + query] = finiteOr(wrong + WEIGHTS.box * distance)
    }
  }
  return linearAssignment(cost, truth.length, queries)
}

/** Predictions that are not finite match somehow: the loss says that a model diverged, and the trainer where. */
export const finiteOr = (cost: number) => (Number.isFinite(cost) ? cost : 1e6)

/** How much more a category costs as a wrong one than as the right one. */
function focalCost(logit: number): number {
  const { alpha, gamma } = FOCAL
  const p = 1 / (1 + Math.exp(-logit))
  const right = -alpha * (1 - p) ** gamma * Math.log(p + 1e-8)
  const wrong = -(1 - alpha) * p ** gamma * Math.log(1 - p + 1e-8)
  return right - wrong
}
