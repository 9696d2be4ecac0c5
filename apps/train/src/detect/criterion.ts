// The loss of a set of predictions: focal on categories and L1 on boxes, for every layer of the decoder with a matching of its own, as DETR's
// auxiliary losses; denoising queries need no matching.

import { abs, add, mul, sub, sum, type Tensor } from '@ditkit/core'
import { BOX_SIZE, type Box, NUMBER_WEIGHTS, writeBox } from './box'
import type { DenoisingQueries } from './denoising'
import { FOCAL, focalLoss } from './focal'
import { matchBoxes, type Predicted, WEIGHTS } from './match'

/** What a detector gives: L layers, B scenes, N queries of which the learned come last, after the denoising ones. */
export interface Predictions {
  /** [L, B, N, K] before the sigmoid. */
  readonly logits: Tensor
  /** [L, B, N, BOX_SIZE] */
  readonly boxes: Tensor
}

/** Predictions on the host. */
export interface HostPredictions {
  /** [L, B, N, K] */
  readonly shape: readonly number[]
  readonly logits: Float32Array
  readonly boxes: Float32Array
}

/** The learned queries' predictions of one layer for one scene. */
export function predictedBy({ shape, logits, boxes }: HostPredictions, layer: number, scene: number, learned: number) {
  const [, scenes, queries, categories] = shape
  const end = (layer * scenes + scene + 1) * queries
  return {
    logits: logits.subarray((end - learned) * categories, end * categories),
    boxes: boxes.subarray((end - learned) * BOX_SIZE, end * BOX_SIZE),
  } satisfies Predicted
}

/** What the predictions should have been; arrays as in `setLoss`. */
export interface Targets {
  /** [L, B, N, K]: −1 where the category is there, 1 where it is not. */
  readonly sign: Float32Array
  /** [L, B, N, K] */
  readonly categoryWeight: Float32Array
  /** [L, B, N, BOX_SIZE] */
  readonly boxes: Float32Array
  /** [L, B, N, BOX_SIZE] */
  readonly boxWeight: Float32Array
}

/**
 * Targets for B scenes: of each layer the best matching for the learned queries, and for denoising queries their own boxes. Weights hold all
 * factors, so that each layer's terms are per object, and the loss is their plain sum.
 */
export function targetsOf(
  predictions: HostPredictions,
  truth: readonly (readonly Box[])[],
  learned: number,
  denoising?: DenoisingQueries,
): Targets {
  const [layers, scenes, queries, categories] = predictions.shape
  const rows = layers * scenes * queries
  const targets: Targets = {
    sign: new Float32Array(rows * categories).fill(1),
    categoryWeight: new Float32Array(rows * categories),
    boxes: new Float32Array(rows * BOX_SIZE),
    boxWeight: new Float32Array(rows * BOX_SIZE),
  }
  const objects = truth.reduce((count, boxes) => count + boxes.length, 0)
  const slots = denoising?.slots.flat().filter(slot => slot?.box).length ?? 0
  const fill = (row: number, box: Box | undefined, share: number) => {
    const absent = WEIGHTS.category * (1 - FOCAL.alpha) * share
    targets.categoryWeight.fill(absent, row * categories, (row + 1) * categories)
    if (!box) return
    targets.sign[row * categories + box.category] = -1
    targets.categoryWeight[row * categories + box.category] = WEIGHTS.category * FOCAL.alpha * share
    writeBox(box, targets.boxes, row * BOX_SIZE)
    for (const [k, weight] of NUMBER_WEIGHTS.entries())
      targets.boxWeight[row * BOX_SIZE + k] = WEIGHTS.box * weight * share
  }
  for (let layer = 0; layer < layers; layer++) {
    for (let scene = 0; scene < scenes; scene++) {
      const first = (layer * scenes + scene) * queries
      for (const [q, slot] of denoising?.slots[scene].entries() ?? [])
        if (slot) fill(first + q, slot.box, 1 / Math.max(1, slots))
      const queryOf = matchBoxes(predictedBy(predictions, layer, scene, learned), truth[scene])
      for (let query = 0; query < learned; query++)
        fill(first + queries - learned + query, truth[scene][queryOf.indexOf(query)], 1 / Math.max(1, objects))
    }
  }
  return targets
}

/** Sum over the layers of focal and L1 losses per object, a scalar on the tape. */
export function setLoss({ logits, boxes }: Predictions, targets: Targets): Tensor {
  const { device, shape } = logits
  const upload = (values: Float32Array, width: number) => device.tensor(values, [...shape.slice(0, 3), width])
  const categories = shape[3]
  const wrong = focalLoss(logits, upload(targets.sign, categories), upload(targets.categoryWeight, categories))
  const off = mul(abs(sub(boxes, upload(targets.boxes, BOX_SIZE))), upload(targets.boxWeight, BOX_SIZE))
  return add(sum(wrong), sum(off))
}
