// Rows taken from, and added into, a table by index.

import { sizeOf } from '../shape'
import { load, store, type View } from './view'

/** Called with what is wrong for the first index that is out of range. */
export type ReportFault = (message: string) => void

/** dst[i] = table[index[i]]; an empty table gives zeros (and a fault, if anything was asked of it). */
export function gather(table: View, index: View, dst: View, report: ReportFault): void {
  const rows = load(table)
  const width = sizeOf(table.shape.slice(1))
  const result = new Float64Array(sizeOf(dst.shape))
  for (const [i, row] of clampedIndices(index, table.shape[0], report).entries()) {
    result.set(rows.subarray(row * width, (row + 1) * width), i * width)
  }
  store(dst, result)
}

/** dst[index[i]] += src[i], in order of i. */
export function scatterAdd(dst: View, index: View, src: View, report: ReportFault): void {
  const added = load(src)
  const width = sizeOf(dst.shape.slice(1))
  const result = load(dst)
  const indices = clampedIndices(index, dst.shape[0], report)
  if (result.length === 0) return
  for (const [i, row] of indices.entries()) {
    for (let column = 0; column < width; column++) result[row * width + column] += added[i * width + column]
  }
  store(dst, result)
}

function clampedIndices(index: View, count: number, report: ReportFault): Float64Array {
  const indices = load(index)
  const wrong = indices.findIndex(row => row < 0 || row >= count)
  if (wrong >= 0)
    report(`index ${indices[wrong]} at position ${wrong} is outside 0 … ${count - 1} (the table has ${count} rows)`)
  return indices.map(row => Math.min(Math.max(row, 0), Math.max(count - 1, 0)))
}
