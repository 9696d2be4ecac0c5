// How well boxes are found: of as many most confident boxes as there are objects, paired with the objects by least total distance, how many
// centres are near, and how far off they are.

import { linearAssignment } from '@ditkit/flow-matching'
import { BOX_SIZE, type Box, readBox } from './box'
import { finiteOr, type Predicted } from './match'

export interface Found {
  readonly box: Box
  /** Of its category, in [0, 1]. */
  readonly confidence: number
}

/** A scene's figures, per object; sums over scenes divide by the sum of `objects`. */
export interface Score {
  readonly objects: number
  /** Objects whose pair's centre is within 5 and 10 cm. */
  readonly within5: number
  readonly within10: number
  /** Objects with a pair within 10 cm of their category. */
  readonly named: number
  /** Sum of the distances between paired centres, metres. */
  readonly distance: number
}

/** The `count` most confident boxes, best first; of each query its most likely category. */
export function mostConfident({ logits, boxes }: Predicted, count: number): Found[] {
  const queries = boxes.length / BOX_SIZE
  const categories = logits.length / queries
  const found = Array.from({ length: queries }, (_, query): Found => {
    const own = logits.subarray(query * categories, (query + 1) * categories)
    const category = own.reduce((best, value, k) => (value > own[best] ? k : best), 0)
    return { box: readBox(boxes, query * BOX_SIZE, category), confidence: 1 / (1 + Math.exp(-own[category])) }
  })
  return found.sort((a, b) => b.confidence - a.confidence).slice(0, count)
}

/** Scores one scene; `predicted` are the last layer's. */
export function scoreScene(predicted: Predicted, truth: readonly Box[]): Score {
  const found = mostConfident(predicted, truth.length)
  const distance = truth.map(box => found.map(other => distanceOf(box, other.box)))
  const pairOf = linearAssignment(Float64Array.from(distance.flat()), truth.length, found.length)
  const distances = truth.map((_, i) => distance[i][pairOf[i]])
  const count = (holds: (i: number) => boolean) => truth.filter((_, i) => holds(i)).length
  return {
    objects: truth.length,
    within5: count(i => distances[i] <= 0.05),
    within10: count(i => distances[i] <= 0.1),
    named: count(i => distances[i] <= 0.1 && found[pairOf[i]].box.category === truth[i].category),
    distance: distances.reduce((a, b) => a + b, 0),
  }
}

function distanceOf(a: Box, b: Box): number {
  return finiteOr(Math.hypot(...a.center.map((value, axis) => value - b.center[axis])))
}
