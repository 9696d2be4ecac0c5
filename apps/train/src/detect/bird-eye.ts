// Points seen from above: a grid of cells over the field, each told by a few numbers, as of a lidar.

import { FIELD } from './box'

/** Numbers of a cell: whether it holds points, how many (log), lowest and highest, where their mean lies in it and on the table, their mean normal. */
export const CELL_CHANNELS = 11
/** Places and heights are told in units of so many metres. */
const UNIT = 0.25

/**
 * The cells [side, side, CELL_CHANNELS] over the field, row by row with y, of points [P, 3] in metres and their normals. Points beyond
 * the field are left out; a cell without points is all zeros.
 */
export function birdEyeGrid(points: Float32Array, normals: Float32Array, side: number): Float32Array {
  const cells = new Float32Array(side * side * CELL_CHANNELS)
  const cellSize = (2 * FIELD.half) / side
  for (let i = 0; i < points.length; i += 3) {
    const u = (points[i] + FIELD.half) / cellSize
    const v = (points[i + 1] + FIELD.half) / cellSize
    const [column, row] = [Math.floor(u), Math.floor(v)]
    if (column < 0 || row < 0 || column >= side || row >= side) continue
    const at = (row * side + column) * CELL_CHANNELS
    const height = points[i + 2] / UNIT
    const count = cells[at + 1]
    cells[at] = 1
    cells[at + 1] = count + 1
    cells[at + 2] = count === 0 ? height : Math.min(cells[at + 2], height)
    cells[at + 3] = count === 0 ? height : Math.max(cells[at + 3], height)
    // Sums, until all points are in.
    cells[at + 4] += u - column - 0.5
    cells[at + 5] += v - row - 0.5
    cells[at + 6] += points[i] / UNIT
    cells[at + 7] += points[i + 1] / UNIT
    for (let axis = 0; axis < 3; axis++) cells[at + 8 + axis] += normals[i + axis]
  }
  for (let at = 0; at < cells.length; at += CELL_CHANNELS) {
    const count = cells[at + 1]
    if (count === 0) continue
    for (let k = 4; k < CELL_CHANNELS; k++) cells[at + k] /= count
    cells[at + 1] = Math.log2(1 + count) / 4
  }
  return cells
}
