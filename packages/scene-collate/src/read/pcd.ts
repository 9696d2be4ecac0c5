// PCD, the format of the Point Cloud Library: ascii, binary and binary_compressed.

import type { Scene } from '../scene'
import { SceneError } from '../scene-error'
import { decompressLzf } from './lzf'
import { type PcdField, type PcdHeader, parsePcdHeader } from './pcd-header'
import { columnBytes, type PointColumn, readNumber, sceneOfColumns } from './point-columns'
import { forEachLine, numberOf } from './text-lines'

type FilledColumn = PointColumn & { readonly values: Float64Array }

/**
 * Reads a PCD. x, y, z are the points, NaN where the sensor saw nothing; normal_x, normal_y, normal_z the field `normals`; rgb or rgba, packed
 * into a float or an integer, the field `colors` in [0, 1] (alpha is dropped); any other field one of that name, `_` none. The rows and columns of an
 * organised cloud and its viewpoint are not kept. Throws a SceneError that names file and field for a file that ends early or is malformed.
 */
export function parsePcd(bytes: Uint8Array, name = 'PCD'): Scene {
  const header = withColorBits(parsePcdHeader(bytes, name))
  const body = bytes.subarray(header.bodyOffset)
  // The least that a point takes, before memory is set aside for what the header announces.
  const least =
    header.data === 'binary' ? pointBytes(header) : header.data === 'ascii' ? 2 * numbersPerPoint(header) - 1 : 0
  if (header.points * least > body.length) failShort(name, header, body.length / least)
  const columns =
    header.data === 'ascii'
      ? readText(body, header, name)
      : header.data === 'binary'
        ? readBinary(body, header)
        : readCompressed(body, header, name)
  return sceneOfColumns(name, columns.filter(column => column.name !== '_').flatMap(unpackColor))
}

function failShort(file: string, { fields, points }: PcdHeader, found: number): never {
  const [last] = fields.slice(-1)
  const detail = `the file ends within point ${Math.floor(found)} of ${points} that its header announces`
  throw new SceneError(file, last?.name, detail)
}

function emptyColumns({ fields, points }: PcdHeader): FilledColumn[] {
  return fields.map(({ name, type, count }) => ({ name, type, width: count, values: new Float64Array(points * count) }))
}

function readText(body: Uint8Array, header: PcdHeader, file: string): FilledColumn[] {
  const columns = emptyColumns(header)
  let point = 0
  forEachLine(new TextDecoder('latin1').decode(body), (text, number) => {
    if (text === '' || point === header.points) return
    const tokens = text.split(/\s+/)
    const line = header.bodyLine + number - 1
    let token = 0
    for (const { name, width, values } of columns)
      for (let i = 0; i < width; i++) values[point * width + i] = numberOf(tokens[token++], file, line, name)
    point++
  })
  if (point < header.points) failShort(file, header, point)
  return columns
}

/** Point after point. */
function readBinary(body: Uint8Array, header: PcdHeader): FilledColumn[] {
  const columns = emptyColumns(header)
  const view = viewOf(body)
  const stride = pointBytes(header)
  let offset = 0
  for (const { type, width, values } of columns) {
    const bytes = columnBytes(type)
    for (let point = 0, out = 0; point < header.points; point++)
      for (let i = 0; i < width; i++) values[out++] = readNumber(view, type, point * stride + offset + i * bytes, true)
    offset += bytes * width
  }
  return columns
}

/** LZF of field after field. */
function readCompressed(body: Uint8Array, header: PcdHeader, file: string): FilledColumn[] {
  if (body.length < 8) throw new SceneError(file, 'DATA', 'the file ends before the sizes of the compressed data')
  const packedBytes = viewOf(body).getUint32(0, true)
  const bytes = viewOf(body).getUint32(4, true)
  if (bytes !== header.points * pointBytes(header)) {
    const expected = `${header.points} points of ${pointBytes(header)} bytes`
    throw new SceneError(file, 'DATA', `unpacks to ${bytes} bytes, but the header announces ${expected}`)
  }
  if (packedBytes > body.length - 8) {
    const found = `${body.length - 8} of ${packedBytes}`
    throw new SceneError(file, 'DATA', `the file ends after ${found} compressed bytes`)
  }
  // 3 bytes of LZF stand for 264 at most: a header cannot ask for memory that the file does not fill.
  const unpacked = bytes <= packedBytes * 88 ? decompressLzf(body.subarray(8, 8 + packedBytes), bytes) : undefined
  if (!unpacked) throw new SceneError(file, 'DATA', 'the compressed data are damaged')
  const columns = emptyColumns(header)
  const view = viewOf(unpacked)
  let at = 0
  for (const { type, values } of columns) {
    for (let i = 0; i < values.length; i++, at += columnBytes(type)) values[i] = readNumber(view, type, at, true)
  }
  return columns
}

/** Binary colours that the file calls floats are read as integers: as floats some are NaN, whose bits do not survive. */
function withColorBits(header: PcdHeader): PcdHeader {
  if (header.data === 'ascii') return header
  const fields = header.fields.map(field =>
    isColor(field.name) && field.type === 'f32' ? { ...field, type: 'u32' as const } : field,
  )
  return { ...header, fields }
}

function isColor(name: string): boolean {
  return name === 'rgb' || name === 'rgba'
}

/** rgb and rgba hold 0xAARRGGBB, as an integer or as the bits of a float. */
function unpackColor(column: PointColumn): PointColumn[] {
  if (!isColor(column.name) || column.width !== 1) return [column]
  const bits = new Uint32Array(column.values.length)
  if (column.type === 'f32') new Float32Array(bits.buffer).set(column.values)
  else bits.set(column.values)
  return ['red', 'green', 'blue'].map((name, i) => ({
    name,
    type: 'u8',
    width: 1,
    values: Float64Array.from(bits, word => (word >>> (16 - 8 * i)) & 255),
  }))
}

function pointBytes({ fields }: { fields: readonly PcdField[] }): number {
  return fields.reduce((sum, { type, count }) => sum + columnBytes(type) * count, 0)
}

function numbersPerPoint({ fields }: { fields: readonly PcdField[] }): number {
  return fields.reduce((sum, { count }) => sum + count, 0)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
