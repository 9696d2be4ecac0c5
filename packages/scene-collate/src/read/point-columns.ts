// Named columns of a point file (PLY, PCD) to a scene: x, y, z are the points; normals and colours are put together.

import type { Field, Scene } from '../scene'
import { SceneError } from '../scene-error'

export interface PointColumn {
  readonly name: string
  /** [P, width] */
  readonly values: Float64Array
  readonly width: number
  readonly type: ColumnType
}

export type ColumnType = 'i8' | 'u8' | 'i16' | 'u16' | 'i32' | 'u32' | 'i64' | 'u64' | 'f32' | 'f64'

/** Names that make up one field, under which spelling they come. */
const NORMALS = [
  ['nx', 'ny', 'nz'],
  ['normal_x', 'normal_y', 'normal_z'],
]
const COLORS = [
  ['red', 'green', 'blue'],
  ['r', 'g', 'b'],
  ['diffuse_red', 'diffuse_green', 'diffuse_blue'],
]

/**
 * x, y, z become `points`; normals the field `normals`; colours the field `colors` [P, 3] in [0, 1]; every other column a field of its own:
 * an Int32Array where every value of the file's type fits one, else a Float32Array. Throws a SceneError without x, y or z.
 */
export function sceneOfColumns(file: string, columns: readonly PointColumn[]): Scene {
  const left = new Map(columns.map(column => [column.name, column]))
  const take = (names: readonly string[]): PointColumn[] | undefined => {
    const found = names.map(name => left.get(name))
    if (!found.every(column => column?.width === 1)) return undefined
    for (const name of names) left.delete(name)
    return found as PointColumn[]
  }
  const points = take(['x', 'y', 'z'])
  if (!points) {
    const has = columns.map(column => column.name).join(', ') || 'nothing'
    throw new SceneError(file, 'points', `the file has no x, y and z of its points (it has ${has})`)
  }
  const fields: Record<string, Field> = {}
  const normals = NORMALS.map(take).find(found => found)
  if (normals) fields.normals = { data: interleave(normals), width: 3, parts: ['direction'] }
  const colors = COLORS.map(take).find(found => found)
  if (colors) fields.colors = { data: interleave(colors, colorRange(colors[0].type)), width: 3 }
  for (const { name, values, width, type } of left.values()) {
    fields[name] = { data: fitsInt32(type) ? Int32Array.from(values) : Float32Array.from(values), width }
  }
  return { name: file, points: interleave(points), ...(Object.keys(fields).length > 0 && { fields }) }
}

function interleave(columns: readonly PointColumn[], divisor = 1): Float32Array {
  const out = new Float32Array(columns[0].values.length * columns.length)
  for (const [c, { values }] of columns.entries())
    for (let i = 0; i < values.length; i++) out[i * columns.length + c] = values[i] / divisor
  return out
}

function colorRange(type: ColumnType): number {
  return type === 'u8' ? 255 : type === 'u16' ? 65535 : 1
}

function fitsInt32(type: ColumnType): boolean {
  return type === 'i8' || type === 'u8' || type === 'i16' || type === 'u16' || type === 'i32'
}

// biome-ignore format: a table
const BYTES: Record<ColumnType, number> = {
  i8: 1, u8: 1, i16: 2, u16: 2, i32: 4, u32: 4, i64: 8, u64: 8, f32: 4, f64: 8,
}

export function columnBytes(type: ColumnType): number {
  return BYTES[type]
}

/** The number at a byte of the view. 64-bit integers beyond 2^53 are rounded. */
export function readNumber(view: DataView, type: ColumnType, at: number, littleEndian: boolean): number {
  switch (type) {
    case 'i8':
      return view.getInt8(at)
    case 'u8':
      return view.getUint8(at)
    case 'i16':
      return view.getInt16(at, littleEndian)
    case 'u16':
      return view.getUint16(at, littleEndian)
    case 'i32':
      return view.getInt32(at, littleEndian)
    case 'u32':
      return view.getUint32(at, littleEndian)
    case 'i64':
      return Number(view.getBigInt64(at, littleEndian))
    case 'u64':
      return Number(view.getBigUint64(at, littleEndian))
    case 'f32':
      return view.getFloat32(at, littleEndian)
    case 'f64':
      return view.getFloat64(at, littleEndian)
  }
}
