// The header of a PLY file (Turk, "The PLY polygon file format", 1994).

import { SceneError } from '../scene-error'
import type { ColumnType } from './point-columns'

export interface PlyProperty {
  readonly name: string
  readonly type: ColumnType
  /** For a list: the type of its length. */
  readonly countType?: ColumnType
}

export interface PlyElement {
  readonly name: string
  readonly count: number
  readonly properties: readonly PlyProperty[]
}

export interface PlyHeader {
  readonly format: 'ascii' | 'binary_little_endian' | 'binary_big_endian'
  readonly elements: readonly PlyElement[]
  /** Where the data begin. */
  readonly bodyOffset: number
  /** The line of text on which they begin, from 1. */
  readonly bodyLine: number
}

// biome-ignore format: a table
const TYPES: Record<string, ColumnType> = {
  char: 'i8', int8: 'i8', uchar: 'u8', uint8: 'u8', short: 'i16', int16: 'i16', ushort: 'u16', uint16: 'u16',
  int: 'i32', int32: 'i32', uint: 'u32', uint32: 'u32', int64: 'i64', uint64: 'u64',
  float: 'f32', float32: 'f32', double: 'f64', float64: 'f64',
}

/** Throws a SceneError that names the line of the header that cannot be understood. */
export function parsePlyHeader(bytes: Uint8Array, file: string): PlyHeader {
  let at = 0
  let line = 0
  const next = (): string => {
    const end = bytes.indexOf(10, at)
    if (end < 0) throw new SceneError(file, 'header', `the file ends in line ${line + 1}, before end_header`)
    const text = new TextDecoder('latin1').decode(bytes.subarray(at, end)).trim()
    at = end + 1
    line++
    return text
  }
  const fail = (detail: string): never => {
    throw new SceneError(file, 'header', `line ${line} ${detail}`)
  }
  if (next() !== 'ply') fail("is not 'ply'")
  let format: PlyHeader['format'] | undefined
  const elements: { name: string; count: number; properties: PlyProperty[] }[] = []
  for (let text = next(); text !== 'end_header'; text = next()) {
    const [keyword, ...words] = text.split(/\s+/)
    if (keyword === 'format') {
      if (!['ascii', 'binary_little_endian', 'binary_big_endian'].includes(words[0]))
        fail(`has the format '${words[0]}'`)
      format = words[0] as PlyHeader['format']
    } else if (keyword === 'element') {
      const count = Number(words[1])
      if (!Number.isSafeInteger(count) || count < 0) fail(`announces ${words[1]} of ${words[0]}`)
      elements.push({ name: words[0], count, properties: [] })
    } else if (keyword === 'property') {
      const types = words[0] === 'list' ? [words[2], words[1]] : [words[0]]
      const unknown = types.find(type => !Object.hasOwn(TYPES, type))
      if (unknown !== undefined || !elements.length) fail(`is no property that can be read: '${text}'`)
      const [type, countType] = types.map(word => TYPES[word])
      elements.at(-1)!.properties.push({ name: words.at(-1)!, type, ...(countType && { countType }) })
    } else if (!['', 'comment', 'obj_info'].includes(keyword)) fail(`has '${keyword}', which PLY does not know`)
  }
  if (!format) throw new SceneError(file, 'header', 'names no format')
  return { format, elements, bodyOffset: at, bodyLine: line + 1 }
}
