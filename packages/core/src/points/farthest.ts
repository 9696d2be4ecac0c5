// Farthest-point sampling (Eldar et al., 1997; PointNet++, arXiv:1706.02413): each next point is the one farthest from all chosen so far.

import { largestMagnitude, meanInAnyOrder } from './centroid'
import {
  endOfLeaf,
  middleOf,
  type PointTree,
  pointTree,
  precedes,
  rightChildOf,
  squaredDistance,
  squaredDistanceToBox,
  startOfLeaf,
} from './point-tree'

const CHOSEN = -1

/**
 * Indices of at most `count` points [P, 3], in the order chosen; fewer where fewer take part. The first is the one farthest from the
 * centroid. Of equally far ones the first by x, then y, then z, then index is taken.
 */
export function selectFarthest(points: Float32Array, mask: ArrayLike<number> | undefined, count: number): Int32Array {
  const tree = pointTree(points, mask)
  const chosen = new Int32Array(Math.min(count, tree.count))
  if (chosen.length === 0) return chosen
  const { x, y, z } = tree
  const spread = new Spread(tree)
  const largest = largestMagnitude(x, y, z)
  spread.approach(meanInAnyOrder(x, largest), meanInAnyOrder(y, largest), meanInAnyOrder(z, largest))
  let next = spread.farthest()
  spread.restart()
  for (let i = 0; i < chosen.length; i++) {
    chosen[i] = tree.indices[next]
    spread.take(next)
    if (i + 1 === chosen.length) break
    if (spread.radius === 0) {
      // What is left lies on chosen points, and will.
      chosen.set(spread.remaining(chosen.length - i - 1), i + 1)
      break
    }
    next = spread.farthest()
  }
  return chosen
}

/** Each point's squared distance to the nearest of those chosen, and the largest of them in each node of the tree. */
class Spread {
  private readonly distances: Float32Array
  private readonly greatest: Float32Array

  constructor(private readonly tree: PointTree) {
    this.distances = new Float32Array(tree.count)
    this.greatest = new Float32Array(2 * tree.leaves - 1)
    this.restart()
  }

  restart(): void {
    this.distances.fill(Number.POSITIVE_INFINITY)
    this.greatest.fill(Number.POSITIVE_INFINITY)
  }

  /** The largest squared distance; of chosen points it is −1. */
  get radius(): number {
    return this.greatest[0]
  }

  /** Lets (x, y, z) count as chosen. */
  approach(x: number, y: number, z: number, node = 0, first = 0, last = this.tree.leaves): void {
    const { tree, greatest } = this
    if (squaredDistanceToBox(tree.boxes, node, x, y, z) >= greatest[node]) return
    if (last - first === 1) {
      greatest[node] = this.approachLeaf(x, y, z, first)
      return
    }
    const middle = middleOf(first, last)
    const right = rightChildOf(node, first, last)
    this.approach(x, y, z, node + 1, first, middle)
    this.approach(x, y, z, right, middle, last)
    greatest[node] = Math.max(greatest[node + 1], greatest[right])
  }

  private approachLeaf(x: number, y: number, z: number, leaf: number): number {
    const { tree, distances } = this
    let greatest = CHOSEN
    for (let i = startOfLeaf(leaf); i < endOfLeaf(tree, leaf); i++) {
      const distance = squaredDistance(tree, i, x, y, z)
      if (distance < distances[i]) distances[i] = distance
      if (distances[i] > greatest) greatest = distances[i]
    }
    return greatest
  }

  /** Chooses the point at a position. */
  take(position: number): void {
    const { x, y, z } = this.tree
    this.distances[position] = CHOSEN
    this.approach(x[position], y[position], z[position])
  }

  /** The position of the point farthest from those chosen. */
  farthest(): number {
    return this.seek(0, 0, this.tree.leaves, -1)
  }

  private seek(node: number, first: number, last: number, found: number): number {
    const { tree, greatest, distances, radius } = this
    if (greatest[node] !== radius) return found
    if (last - first > 1) {
      const middle = middleOf(first, last)
      const best = this.seek(node + 1, first, middle, found)
      return this.seek(rightChildOf(node, first, last), middle, last, best)
    }
    let best = found
    for (let i = startOfLeaf(first); i < endOfLeaf(tree, first); i++) {
      if (distances[i] === radius && (best < 0 || precedes(tree, i, best))) best = i
    }
    return best
  }

  /** The first `count` of the points not chosen, in order of their coordinates. */
  remaining(count: number): Int32Array {
    const { tree, distances } = this
    const left = Int32Array.from(distances.keys()).filter(i => distances[i] !== CHOSEN)
    return left
      .sort((a, b) => (precedes(tree, a, b) ? -1 : 1))
      .subarray(0, count)
      .map(i => tree.indices[i])
  }
}
