// The header of a PCD file (Point Cloud Library, file format 0.7).

import { SceneError } from '../scene-error'
import type { ColumnType } from './point-columns'

export interface PcdField {
  readonly name: string
  readonly type: ColumnType
  /** Numbers per point. */
  readonly count: number
}

export interface PcdHeader {
  readonly fields: readonly PcdField[]
  readonly points: number
  readonly data: 'ascii' | 'binary' | 'binary_compressed'
  /** Where the data begin. */
  readonly bodyOffset: number
  /** The line of text on which they begin, from 1. */
  readonly bodyLine: number
}

// biome-ignore format: a table
const TYPES: Record<string, ColumnType> = {
  I1: 'i8', U1: 'u8', I2: 'i16', U2: 'u16', I4: 'i32', U4: 'u32', I8: 'i64', U8: 'u64', F4: 'f32', F8: 'f64',
}

/** Throws a SceneError that names the entry of the header that is missing or cannot be understood. */
export function parsePcdHeader(bytes: Uint8Array, file: string): PcdHeader {
  const fail = (entry: string, detail: string): never => {
    throw new SceneError(file, entry, detail)
  }
  const entries = new Map<string, string[]>()
  let at = 0
  let line = 0
  while (!entries.has('DATA')) {
    const end = bytes.indexOf(10, at)
    if (end < 0) fail('header', `the file ends in line ${line + 1}, before DATA`)
    const text = new TextDecoder('latin1').decode(bytes.subarray(at, end)).trim()
    at = end + 1
    line++
    if (text === '' || text.startsWith('#')) continue
    const [keyword, ...words] = text.split(/\s+/)
    if (!/^[A-Z]+$/.test(keyword)) fail('header', `line ${line} is ${JSON.stringify(text.slice(0, 40))}; is it a PCD?`)
    entries.set(keyword, words)
  }
  const entry = (keyword: string): string[] => entries.get(keyword) ?? fail(keyword, 'is missing from the header')
  const whole = (keyword: string, word: string | undefined): number => {
    const value = Number(word)
    return word !== undefined && Number.isSafeInteger(value) && value >= 0
      ? value
      : fail(keyword, `is ${word}, expected a whole number`)
  }
  const [names, sizes, types] = [entry('FIELDS'), entry('SIZE'), entry('TYPE')]
  const counts = entries.get('COUNT') ?? names.map(() => '1')
  for (const [keyword, words] of Object.entries({ SIZE: sizes, TYPE: types, COUNT: counts })) {
    if (words.length !== names.length) fail(keyword, `has ${words.length} entries, but FIELDS has ${names.length}`)
  }
  const fields = names.map((name, i): PcdField => {
    const type =
      TYPES[`${types[i]}${sizes[i]}`] ??
      fail(name, `has type ${types[i]} of ${sizes[i]} bytes, which PCD does not know`)
    return { name, type, count: whole('COUNT', counts[i]) }
  })
  const points = entries.has('POINTS')
    ? whole('POINTS', entry('POINTS')[0])
    : whole('WIDTH', entry('WIDTH')[0]) * whole('HEIGHT', entry('HEIGHT')[0])
  const data = entry('DATA')[0]
  if (data !== 'ascii' && data !== 'binary' && data !== 'binary_compressed')
    return fail('DATA', `is '${data}', expected ascii, binary or binary_compressed`)
  return { fields, points, data, bodyOffset: at, bodyLine: line + 1 }
}
