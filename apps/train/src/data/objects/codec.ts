// How an object's mesh and grasps are packed: whole numbers of 16 bits, column by column, low bytes before high bytes, in
// Brotli. Corners lie on a grid of 65,535 steps along the object's longest side.

import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib'
import type { Mesh } from '@ditkit/scene-collate'
import { PARALLEL_JAW } from '../../grasp/gripper'
import type { GraspPose } from '../../grasp/pose'

export interface ObjectGeometry {
  readonly mesh: Mesh
  readonly grasps: readonly GraspPose[]
}

/** What is needed to unpack a block. */
export interface BlockHeader {
  readonly vertices: number
  readonly triangles: number
  readonly grasps: number
  /** Bounds of the mesh, metres. */
  readonly low: [number, number, number]
  readonly high: [number, number, number]
}

const STEPS = 0xffff
/** Grasp centres lie within the bounds, wider by this, metres. */
const GRASP_ROOM = 0.05
const COLUMNS_PER_GRASP = 8

export function headerOf({ mesh, grasps }: ObjectGeometry): BlockHeader {
  const low: [number, number, number] = [Infinity, Infinity, Infinity]
  const high: [number, number, number] = [-Infinity, -Infinity, -Infinity]
  for (const [i, value] of mesh.vertices.entries()) {
    low[i % 3] = Math.min(low[i % 3], value)
    high[i % 3] = Math.max(high[i % 3], value)
  }
  // To the micrometre, outward.
  for (let axis = 0; axis < 3; axis++) {
    low[axis] = Math.floor(low[axis] * 1e6) / 1e6
    high[axis] = Math.ceil(high[axis] * 1e6) / 1e6
  }
  return { vertices: mesh.vertices.length / 3, triangles: mesh.faces.length / 3, grasps: grasps.length, low, high }
}

/** Packs an object; throws when it has more corners than 16 bits can count. */
export function packObject({ mesh, grasps }: ObjectGeometry, header: BlockHeader): Buffer {
  const { vertices, triangles, low } = header
  if (vertices > STEPS) throw new Error(`packObject: ${vertices} corners, at most ${STEPS} can be stored`)
  const step = stepOf(header)
  const numbers = new Uint16Array(vertices * 3 + triangles * 3 + grasps.length * COLUMNS_PER_GRASP)
  for (let axis = 0, at = 0; axis < 3; axis++) {
    for (let i = 0, last = 0; i < vertices; i++) {
      const value = Math.round((mesh.vertices[i * 3 + axis] - low[axis]) / step)
      numbers[at++] = value - last
      last = value
    }
  }
  // Corners are numbered by first use, so that an index is mostly a little below the next new one.
  for (let i = 0, next = 0; i < triangles * 3; i++) {
    numbers[vertices * 3 + i] = next - mesh.faces[i]
    next = Math.max(next, mesh.faces[i] + 1)
  }
  const first = (vertices + triangles) * 3
  for (const [g, { position, rotation, width }] of grasps.entries()) {
    const columns = [
      ...position.map((value, axis) => ((value - low[axis] + GRASP_ROOM) / (STEPS * step + 2 * GRASP_ROOM)) * STEPS),
      ...quaternionOf(rotation).map(value => ((value + 1) / 2) * STEPS),
      (width / PARALLEL_JAW.maxOpening) * STEPS,
    ]
    for (const [c, value] of columns.entries()) numbers[first + c * grasps.length + g] = Math.round(value)
  }
  const bytes = new Uint8Array(numbers.length * 2)
  for (const [i, value] of numbers.entries()) {
    bytes[i] = value & 255
    bytes[numbers.length + i] = value >> 8
  }
  return brotliCompressSync(bytes, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22 },
  })
}

/** Unpacks what `packObject` packed; throws when the block is not as long as its header says. */
export function unpackObject(block: Uint8Array, header: BlockHeader): ObjectGeometry {
  const { vertices, triangles, grasps: count, low } = header
  const bytes = brotliDecompressSync(block)
  const length = vertices * 3 + triangles * 3 + count * COLUMNS_PER_GRASP
  if (bytes.length !== length * 2)
    throw new Error(`the block holds ${bytes.length} bytes, its header says ${length * 2}`)
  const number = (i: number) => bytes[i] | (bytes[length + i] << 8)
  const step = stepOf(header)
  const positions = new Float32Array(vertices * 3)
  for (let axis = 0, at = 0; axis < 3; axis++) {
    for (let i = 0, value = 0; i < vertices; i++) {
      value = (value + number(at++)) & STEPS
      positions[i * 3 + axis] = low[axis] + value * step
    }
  }
  const faces = new Int32Array(triangles * 3)
  for (let i = 0, next = 0; i < faces.length; i++) {
    faces[i] = (next - number(vertices * 3 + i)) & STEPS
    next = Math.max(next, faces[i] + 1)
  }
  const first = (vertices + triangles) * 3
  const grasps = Array.from({ length: count }, (_, g): GraspPose => {
    const column = (c: number) => number(first + c * count + g) / STEPS
    const along = (axis: 0 | 1 | 2) => low[axis] - GRASP_ROOM + column(axis) * (STEPS * step + 2 * GRASP_ROOM)
    return {
      position: [along(0), along(1), along(2)],
      rotation: rotationOf([3, 4, 5, 6].map(c => column(c) * 2 - 1)),
      width: column(7) * PARALLEL_JAW.maxOpening,
    }
  })
  return { mesh: { vertices: positions, faces }, grasps }
}

function stepOf({ low, high }: BlockHeader): number {
  return Math.max(...high.map((value, axis) => value - low[axis])) / STEPS
}

/** Unit quaternion (w, x, y, z) of a row-major rotation. */
function quaternionOf(r: ArrayLike<number>): number[] {
  // Each row is 4 times one component, by all four; the longest is the least rounded.
  const rows = [
    [1 + r[0] + r[4] + r[8], r[7] - r[5], r[2] - r[6], r[3] - r[1]],
    [r[7] - r[5], 1 + r[0] - r[4] - r[8], r[1] + r[3], r[2] + r[6]],
    [r[2] - r[6], r[1] + r[3], 1 - r[0] + r[4] - r[8], r[5] + r[7]],
    [r[3] - r[1], r[2] + r[6], r[5] + r[7], 1 - r[0] - r[4] + r[8]],
  ]
  const row = rows.reduce((a, b, i) => (b[i] > a[rows.indexOf(a)] ? b : a))
  const length = Math.hypot(...row)
  return row.map(value => value / length)
}

/** Row-major rotation of a quaternion of any length. */
function rotationOf(quaternion: readonly number[]): number[] {
  const length = Math.hypot(...quaternion)
  const [w, x, y, z] = quaternion.map(value => value / length)
  // biome-ignore format: a matrix
  return [
    1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
    2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
    2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
  ]
}
