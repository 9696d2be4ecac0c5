// XYZ and other plain tables: a point per line.

import type { Field, Scene } from '../scene'
import { SceneError } from '../scene-error'
import { forEachLine, numberOf } from './text-lines'

export interface XyzOptions {
  /**
   * What stands after x, y and z: fields by name with their number of columns, left to right, as in `{ normals: 3, colors: 3 }`. Unless
   * it is said, all of it becomes one field, `extra`: the format has no names, and guessing them would be wrong at times.
   */
  readonly columns?: Readonly<Record<string, number>>
}

/**
 * Reads lines of numbers between blanks, commas or semicolons; empty lines and those that begin with # or // are passed over. Throws a SceneError that
 * names file, line and column for a line that has fewer or more numbers than the first, and for what is no number.
 */
export function parseXyz(text: string, name = 'XYZ', { columns }: XyzOptions = {}): Scene {
  const rows: number[] = []
  let width = 0
  const column = (i: number) => ['x', 'y', 'z'][i] ?? `column ${i + 1}`
  forEachLine(text, (line, number) => {
    if (line === '' || line.startsWith('#') || line.startsWith('//')) return
    const tokens = line.split(/[\s,;]+/).filter(token => token !== '')
    if (width === 0) width = Math.max(3, tokens.length)
    if (tokens.length > width)
      throw new SceneError(name, column(width), `line ${number} has ${tokens.length} numbers, the first had ${width}`)
    for (let i = 0; i < width; i++) rows.push(numberOf(tokens[i], name, number, column(i)))
  })
  if (width === 0) throw new SceneError(name, 'points', 'the file has no points')
  const names = columns ?? (width > 3 ? { extra: width - 3 } : {})
  const named = Object.values(names).reduce((sum, n) => sum + n, 3)
  if (named !== width)
    throw new SceneError(name, 'columns', `the file has ${width} columns, but x, y, z and those named are ${named}`)
  const take = (first: number, count: number) =>
    Float32Array.from(
      { length: (rows.length / width) * count },
      (_, i) => rows[Math.floor(i / count) * width + first + (i % count)],
    )
  const fields: Record<string, Field> = {}
  let first = 3
  for (const [field, count] of Object.entries(names)) {
    fields[field] = { data: take(first, count), width: count }
    first += count
  }
  return { name, points: take(0, 3), ...(first > 3 && { fields }) }
}
