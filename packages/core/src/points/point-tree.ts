// Points in a balanced k-d tree: leaves of neighbouring points, and a box around each node, by which a search passes over
// what cannot matter. Results of the searches do not depend on how the tree was built.

/** Points of a leaf; all leaves but the last are full. */
const LEAF = 32

/** Positions 0 … count − 1 are the points that take part, leaf after leaf. */
export interface PointTree {
  readonly count: number
  readonly x: Float32Array
  readonly y: Float32Array
  readonly z: Float32Array
  /** Where each point stood in the input. */
  readonly indices: Int32Array
  readonly leaves: number
  /** Per node six numbers: least x, y, z, greatest x, y, z. Nodes are in preorder: see `childrenOf`. */
  readonly boxes: Float32Array
}

/** A node over the leaves first … last − 1 has its left child behind it, over those before the middle, and its right one behind that. */
export function middleOf(first: number, last: number): number {
  return (first + last) >> 1
}

export function rightChildOf(node: number, first: number, last: number): number {
  return node + 2 * (middleOf(first, last) - first)
}

/** The positions of leaf `leaf`: from `start` to before `end`. */
export const startOfLeaf = (leaf: number) => leaf * LEAF
export const endOfLeaf = (tree: PointTree, leaf: number) => Math.min((leaf + 1) * LEAF, tree.count)

/** Builds the tree over the points [P, 3] whose mask is not 0, without reading the others. They must be finite. */
export function pointTree(points: Float32Array, mask?: ArrayLike<number>): PointTree {
  const total = points.length / 3
  const all = new Int32Array(total)
  let count = 0
  for (let i = 0; i < total; i++) if (!mask || mask[i]) all[count++] = i
  const indices = all.subarray(0, count)
  const leaves = Math.ceil(count / LEAF)
  const boxes = new Float32Array(6 * Math.max(0, 2 * leaves - 1))
  // On the way down a node's box is its cell, its share of the space, which is known without a look at the points; on the way up it is drawn around them.
  const split = (node: number, first: number, last: number) => {
    const [start, end] = [startOfLeaf(first), Math.min(startOfLeaf(last), count)]
    if (last - first === 1) {
      enclose(points, indices, start, end, boxes, 6 * node)
      return
    }
    const axis = longestSide(boxes, 6 * node)
    const middle = middleOf(first, last)
    const cut = startOfLeaf(middle)
    divide(points, axis, indices, start, end, cut)
    const left = node + 1
    const right = rightChildOf(node, first, last)
    for (const child of [left, right]) boxes.copyWithin(6 * child, 6 * node, 6 * node + 6)
    boxes[6 * left + 3 + axis] = boxes[6 * right + axis] = points[3 * indices[cut] + axis]
    split(left, first, middle)
    split(right, middle, last)
    for (let i = 0; i < 3; i++) {
      boxes[6 * node + i] = Math.min(boxes[6 * left + i], boxes[6 * right + i])
      boxes[6 * node + 3 + i] = Math.max(boxes[6 * left + 3 + i], boxes[6 * right + 3 + i])
    }
  }
  if (leaves > 0) {
    enclose(points, indices, 0, count, boxes, 0)
    split(0, 0, leaves)
  }
  const [x, y, z] = [new Float32Array(count), new Float32Array(count), new Float32Array(count)]
  for (let i = 0; i < count; i++) {
    const at = 3 * indices[i]
    x[i] = points[at]
    y[i] = points[at + 1]
    z[i] = points[at + 2]
  }
  return { count, x, y, z, indices, leaves, boxes }
}

/** Writes the box around the points at start … end − 1. */
function enclose(
  points: Float32Array,
  indices: Int32Array,
  start: number,
  end: number,
  boxes: Float32Array,
  at: number,
): void {
  boxes.fill(Number.POSITIVE_INFINITY, at, at + 3)
  boxes.fill(Number.NEGATIVE_INFINITY, at + 3, at + 6)
  for (let i = start; i < end; i++) {
    for (let axis = 0; axis < 3; axis++) {
      const value = points[3 * indices[i] + axis]
      if (value < boxes[at + axis]) boxes[at + axis] = value
      if (value > boxes[at + 3 + axis]) boxes[at + 3 + axis] = value
    }
  }
}

function longestSide(boxes: Float32Array, at: number): number {
  const [x, y, z] = [boxes[at + 3] - boxes[at], boxes[at + 4] - boxes[at + 1], boxes[at + 5] - boxes[at + 2]]
  return x >= y && x >= z ? 0 : y >= z ? 1 : 2
}

/** Hoare's selection: puts those of start … end − 1 that are least along `axis` before `middle`. */
function divide(
  points: Float32Array,
  axis: number,
  indices: Int32Array,
  start: number,
  end: number,
  middle: number,
): void {
  let low = start
  let high = end - 1
  while (low < high) {
    const pivot = points[3 * indices[(low + high) >> 1] + axis]
    let i = low
    let j = high
    while (i <= j) {
      while (points[3 * indices[i] + axis] < pivot) i++
      while (points[3 * indices[j] + axis] > pivot) j--
      if (i > j) break
      const index = indices[i]
      indices[i++] = indices[j]
      indices[j--] = index
    }
    if (middle <= j) high = j
    else if (middle >= i) low = i
    else return
  }
}

/**
 * A lower bound on `squaredDistance` from (x, y, z) to any point of the node, exact in f32: rounding never turns the order of two numbers around,
 * and a point's difference along each axis is at least as large as the box's.
 */
export function squaredDistanceToBox(boxes: Float32Array, node: number, x: number, y: number, z: number): number {
  const at = 6 * node
  const { fround } = Math
  const dx = x < boxes[at] ? fround(boxes[at] - x) : x > boxes[at + 3] ? fround(x - boxes[at + 3]) : 0
  const dy = y < boxes[at + 1] ? fround(boxes[at + 1] - y) : y > boxes[at + 4] ? fround(y - boxes[at + 4]) : 0
  const dz = z < boxes[at + 2] ? fround(boxes[at + 2] - z) : z > boxes[at + 5] ? fround(z - boxes[at + 5]) : 0
  return fround(fround(fround(dx * dx) + fround(dy * dy)) + fround(dz * dz))
}

/** (dx·dx + dy·dy) + dz·dz, every step rounded to f32: what each backend computes, to the last bit. */
export function squaredDistance(tree: PointTree, position: number, x: number, y: number, z: number): number {
  const { fround } = Math
  const dx = fround(tree.x[position] - x)
  const dy = fround(tree.y[position] - y)
  const dz = fround(tree.z[position] - z)
  return fround(fround(fround(dx * dx) + fround(dy * dy)) + fround(dz * dz))
}

/** Whether the point at position a comes before that at b: by x, then y, then z, then by where they stood in the input. */
export function precedes({ x, y, z, indices }: PointTree, a: number, b: number): boolean {
  return (order(x[a], x[b]) || order(y[a], y[b]) || order(z[a], z[b]) || indices[a] - indices[b]) < 0
}

/** −0 is less than 0, so that equal points are equal to the last bit. */
function order(a: number, b: number): number {
  if (a !== b) return a < b ? -1 : 1
  return Number(Object.is(b, -0)) - Number(Object.is(a, -0))
}
