// The nearest points of a cloud to each query.

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

/** Per query `count` slots, nearest first; a slot whose mask is 0 is empty, with index 0 and distance 0. */
export interface Neighbours {
  readonly indices: Int32Array
  readonly squaredDistances: Float32Array
  /** 1 where there is a neighbour. */
  readonly mask: Uint8Array
}

/**
 * The nearest `count` of the points [P, 3] to each query [Q, 3], none farther than the limit; of equally near ones the first by x, then y,
 * then z, then index. Queries whose mask is 0 have none.
 */
export function selectNearest(
  queries: Float32Array,
  points: Float32Array,
  queryMask: ArrayLike<number> | undefined,
  mask: ArrayLike<number> | undefined,
  maxSquaredDistance: number,
  count: number,
): Neighbours {
  const tree = pointTree(points, mask)
  const total = queries.length / 3
  const results: Neighbours = {
    indices: new Int32Array(total * count),
    squaredDistances: new Float32Array(total * count),
    mask: new Uint8Array(total * count),
  }
  if (tree.count === 0) return results
  const search = new Search(tree, Math.min(count, tree.count), maxSquaredDistance)
  for (let q = 0; q < total; q++) {
    if (queryMask && !queryMask[q]) continue
    search.run(queries[3 * q], queries[3 * q + 1], queries[3 * q + 2])
    for (let i = 0; i < search.found; i++) {
      results.indices[q * count + i] = tree.indices[search.positions[i]]
      results.squaredDistances[q * count + i] = search.distances[i]
      results.mask[q * count + i] = 1
    }
  }
  return results
}

/** The best so far of one query, in order. */
class Search {
  readonly positions: Int32Array
  readonly distances: Float32Array
  found = 0
  /** Farther points are no candidates any more. */
  private limit = 0
  private x = 0
  private y = 0
  private z = 0

  constructor(
    private readonly tree: PointTree,
    private readonly count: number,
    private readonly maxSquaredDistance: number,
  ) {
    this.positions = new Int32Array(count)
    this.distances = new Float32Array(count)
  }

  run(x: number, y: number, z: number): void {
    this.found = 0
    this.limit = this.maxSquaredDistance
    this.x = x
    this.y = y
    this.z = z
    if (this.distanceTo(0) <= this.limit) this.visit(0, 0, this.tree.leaves)
  }

  private distanceTo(node: number): number {
    return squaredDistanceToBox(this.tree.boxes, node, this.x, this.y, this.z)
  }

  private visit(node: number, first: number, last: number): void {
    if (last - first === 1) {
      this.visitLeaf(first)
      return
    }
    const middle = middleOf(first, last)
    const left = node + 1
    const right = rightChildOf(node, first, last)
    const toLeft = this.distanceTo(left)
    const toRight = this.distanceTo(right)
    if (toLeft <= toRight) {
      if (toLeft <= this.limit) this.visit(left, first, middle)
      if (toRight <= this.limit) this.visit(right, middle, last)
    } else {
      if (toRight <= this.limit) this.visit(right, middle, last)
      if (toLeft <= this.limit) this.visit(left, first, middle)
    }
  }

  private visitLeaf(leaf: number): void {
    const { tree, x, y, z } = this
    for (let i = startOfLeaf(leaf); i < endOfLeaf(tree, leaf); i++) {
      const distance = squaredDistance(tree, i, x, y, z)
      if (distance <= this.limit) this.insert(i, distance)
    }
  }

  private insert(position: number, distance: number): void {
    const { tree, positions, distances, count } = this
    const before = (i: number) =>
      distance < distances[i] || (distance === distances[i] && precedes(tree, position, positions[i]))
    if (this.found === count && !before(count - 1)) return
    let i = this.found < count ? this.found++ : count - 1
    for (; i > 0 && before(i - 1); i--) {
      distances[i] = distances[i - 1]
      positions[i] = positions[i - 1]
    }
    distances[i] = distance
    positions[i] = position
    if (this.found === count) this.limit = distances[count - 1]
  }
}
