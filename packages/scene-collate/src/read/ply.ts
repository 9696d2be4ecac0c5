// PLY: ascii and binary of either byte order, properties of any type, lists, faces.

import type { Mesh } from '../mesh/mesh'
import { pointCount, type Scene } from '../scene'
import { SceneError } from '../scene-error'
import { type PlyElement, type PlyHeader, type PlyProperty, parsePlyHeader } from './ply-header'
import { type ColumnType, columnBytes, readNumber, sceneOfColumns } from './point-columns'
import { numberOf } from './text-lines'

export interface PlyFile {
  /** The vertices as points, with their properties as fields. */
  readonly scene: Scene
  /** Where the file has faces. */
  readonly mesh?: Mesh
}

/** Gives the numbers of the file one after the other. */
interface PlyNumbers {
  /** Throws what `fail` throws at the end of the file. */
  next(type: ColumnType): number
  /** Throws a SceneError for this place in the file. */
  fail(detail: string): never
  /** The most numbers that can still come. */
  left(): number
  /** 'vertex 12.nx': what is being read, for messages. */
  reading: () => string
}

/**
 * Reads a PLY. x, y, z of `vertex` are the points; nx, ny, nz the field `normals`; red, green, blue the field `colors` in [0, 1]; any other
 * scalar property a field under its name. `vertex_indices` (or `vertex_index`) of `face` are its faces, polygons as fans. Other elements and lists
 * are passed over. Throws a SceneError that names file, element and property for a file that ends early or is malformed.
 */
export function parsePly(bytes: Uint8Array, name = 'PLY'): PlyFile {
  const header = parsePlyHeader(bytes, name)
  const numbers = header.format === 'ascii' ? textNumbers(bytes, header, name) : binaryNumbers(bytes, header, name)
  let scene: Scene | undefined
  let faces: Int32Array | undefined
  for (const element of header.elements) {
    const { columns, lists } = readElement(element, numbers)
    if (element.name === 'vertex') scene = sceneOfColumns(name, columns)
    if (element.name === 'face') faces = lists.get('vertex_indices') ?? lists.get('vertex_index')
  }
  if (!scene) throw new SceneError(name, 'vertex', 'the file has no such element')
  if (!faces?.length) return { scene }
  const last = pointCount(scene) - 1
  for (const [i, vertex] of faces.entries()) {
    if (vertex < 0 || vertex > last)
      throw new SceneError(name, 'face', `triangle ${Math.floor(i / 3)} names vertex ${vertex}, expected 0 to ${last}`)
  }
  return { scene, mesh: { name, vertices: scene.points, faces } }
}

/** Scalars as columns; lists as triangles of their fans. */
function readElement({ name, count, properties }: PlyElement, numbers: PlyNumbers) {
  numbers.reading = () => name
  if (count * properties.length > numbers.left())
    numbers.fail(`the file ends before the ${count} that its header announces`)
  const scalars = properties.filter(property => !property.countType)
  const columns = scalars.map(property => ({ ...property, values: new Float64Array(count), width: 1 }))
  const fans = new Map(properties.filter(({ countType }) => countType).map(list => [list.name, [] as number[]]))
  let row = 0
  let property = properties[0]
  numbers.reading = () => `${name} ${row}.${property.name}`
  for (row = 0; row < count && property; row++) {
    let column = 0
    for (property of properties) {
      if (property.countType) readFan(property, numbers, fans.get(property.name)!)
      else columns[column++].values[row] = numbers.next(property.type)
    }
  }
  return { columns, lists: new Map([...fans].map(([list, fan]) => [list, Int32Array.from(fan)])) }
}

/** Reads a list and adds the triangles of its fan. */
function readFan({ type, countType }: PlyProperty, numbers: PlyNumbers, fan: number[]): void {
  const length = numbers.next(countType!)
  if (!Number.isInteger(length) || length < 0 || length > numbers.left()) numbers.fail(`announces a list of ${length}`)
  const first = length > 0 ? numbers.next(type) : 0
  let previous = length > 1 ? numbers.next(type) : 0
  for (let i = 2; i < length; i++) {
    const vertex = numbers.next(type)
    fan.push(first, previous, vertex)
    previous = vertex
  }
}

function binaryNumbers(bytes: Uint8Array, header: PlyHeader, file: string): PlyNumbers {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const littleEndian = header.format === 'binary_little_endian'
  let at = header.bodyOffset
  return {
    next(type) {
      if (at + columnBytes(type) > bytes.length) this.fail('the file ends here')
      const value = readNumber(view, type, at, littleEndian)
      at += columnBytes(type)
      return value
    },
    fail(detail) {
      throw new SceneError(file, this.reading(), `${detail} (byte ${at} of ${bytes.length})`)
    },
    left: () => bytes.length - at,
    reading: () => 'data',
  }
}

function textNumbers(bytes: Uint8Array, header: PlyHeader, file: string): PlyNumbers {
  const text = new TextDecoder('latin1').decode(bytes.subarray(header.bodyOffset))
  const token = /\S+/g
  let at = 0
  // Lines are counted only for a message.
  const line = () => header.bodyLine + (text.slice(0, at).match(/\n/g)?.length ?? 0)
  return {
    next() {
      const found = token.exec(text)
      if (!found) return this.fail('the file ends here')
      at = token.lastIndex
      const value = Number(found[0])
      return Number.isNaN(value) ? numberOf(found[0], file, line(), this.reading()) : value
    },
    fail(detail) {
      throw new SceneError(file, this.reading(), `${detail} (line ${line()})`)
    },
    left: () => Math.ceil((text.length - at) / 2),
    reading: () => 'data',
  }
}
