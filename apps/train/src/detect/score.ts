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

/** Of a scene, per object; or means of many scenes. */
export interface Score {
  /** Share of objects whose pair's centre is within 5 and 10 cm. */
  readonly recall_5cm: number
  readonly recall_10cm: number
  /** Share of objects with a pair within 10 cm that says their category. */
  readonly recall_named: number
  /** Mean distance between paired centres, metres. */
  readonly centre_error: number
}

export const SCORES = ['recall_5cm', 'recall_10cm', 'recall_named', 'centre_error'] as const

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
  const share = (holds: (i: number) => boolean) => truth.filter((_, i) => holds(i)).length / truth.length
  return {
    recall_5cm: share(i => distances[i] <= 0.05),
    recall_10cm: share(i => distances[i] <= 0.1),
    recall_named: share(i => distances[i] <= 0.1 && found[pairOf[i]].box.category === truth[i].category),
    centre_error: distances.reduce((a, b) => a + b, 0) / truth.length,
  }
}

/** Means over scenes. */
export function meanScores(scores: readonly Score[]): Score {
  const mean = (name: (typeof SCORES)[number]) => scores.reduce((sum, score) => sum + score[name], 0) / scores.length
  return Object.fromEntries(SCORES.map(name => [name, mean(name)])) as unknown as Score
}

function distanceOf(a: Box, b: Box): number {
  return finiteOr(Math.hypot(...a.center.map((value, axis) => value - b.center[axis])))
}
