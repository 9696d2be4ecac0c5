// A grid over the points, and one point of each occupied cell.

/** Cells along an axis at most: three of them make a cell's number, which must fit 2^53. */
const MOST_CELLS = 2 ** 17
/** Halvings of the logarithm of the cell size; the last changes it by less than a thousandth. */
const SEARCH_STEPS = 14

/**
 * The first point of each occupied cell, in the given order. The grid begins at the least x, y and z of the points. Without a cell size it is the finest with at
 * most `count` occupied cells. Throws a RangeError for a cell size that is not positive or needs more than 2^17 cells along an axis.
 */
export function voxelRepresentatives(
  points: Float32Array,
  order: Int32Array,
  count: number,
  cellSize?: number,
): Int32Array {
  const low = [Infinity, Infinity, Infinity]
  const high = [-Infinity, -Infinity, -Infinity]
  for (let i = 0; i < points.length; i++) {
    low[i % 3] = Math.min(low[i % 3], points[i])
    high[i % 3] = Math.max(high[i % 3], points[i])
  }
  const extent = points.length ? Math.max(...high.map((value, axis) => value - low[axis])) : 0
  const size = cellSize ?? finestSize(points, order, low, extent, count)
  if (!(size > 0) || !(extent / size < MOST_CELLS))
    throw new RangeError(
      `limitPoints: cellSize is ${size} for points that extend over ${extent}; expected more than 0 and at most 2^17 cells`,
    )
  return firstOfCells(points, order, low, size)
}

function firstOfCells(points: Float32Array, order: Int32Array, low: readonly number[], size: number): Int32Array {
  const seen = new Set<number>()
  const first = new Int32Array(order.length)
  for (const i of order) {
    const x = Math.floor((points[3 * i] - low[0]) / size)
    const y = Math.floor((points[3 * i + 1] - low[1]) / size)
    const z = Math.floor((points[3 * i + 2] - low[2]) / size)
    const cell = (x * MOST_CELLS + y) * MOST_CELLS + z
    const before = seen.size
    seen.add(cell)
    if (seen.size > before) first[before] = i
  }
  return first.slice(0, seen.size)
}

function finestSize(
  points: Float32Array,
  order: Int32Array,
  low: readonly number[],
  extent: number,
  count: number,
): number {
  // Points at one place, or nothing to search in: any size gives one cell.
  if (extent === 0) return 1
  let coarse = 2 * extent
  let fine = extent / (MOST_CELLS / 2)
  for (let step = 0; step < SEARCH_STEPS; step++) {
    const middle = Math.sqrt(coarse * fine)
    if (firstOfCells(points, order, low, middle).length <= count) coarse = middle
    else fine = middle
  }
  return coarse
}
