// Scenes with different numbers of points to one batch: padded with masks and lengths, or packed with offsets.

import type { BatchArray, PackedBatch, PackedRows, PaddedBatch, PaddedRows, SceneBatch } from './batch'
import { type BatchMemory, type MakeArray, ownArray } from './batch-memory'
import { checkAlike, checkFits, checkNames } from './check-batch'
import { type CheckOptions, checkScene } from './check-scene'
import { limitPoints, type PointLimit } from './limit/limit-points'
import type { Field, Scene } from './scene'
import { dropMasked, mapFields } from './select-points'
import { IDENTITY } from './transform'

export interface CollateOptions extends CheckOptions {
  /** 'padded' (default): every scene as long as the longest. 'packed': end to end, without padding. */
  readonly layout?: 'padded' | 'packed'
  /** At most so many points per scene; see `limitPoints`. */
  readonly maxPoints?: PointLimit
  /** What fills padding, by name ('points', a field, a set). Default 0. */
  readonly padding?: Readonly<Record<string, number>>
  /** Pad to exactly this many points; by name for sets too: `{ points: 2048, grasps: 64 }`. */
  readonly padTo?: number | Readonly<Record<string, number>>
  /** Pad to a multiple of this, so that few different shapes occur; by name for sets too. */
  readonly multipleOf?: number | Readonly<Record<string, number>>
}

/**
 * One batch of scenes, in host arrays of its own. Points that a scene's mask excludes are dropped first, so that the first
 * `lengths[b]` points of a scene are its valid ones and what was masked is nowhere in the batch. All scenes must have the same fields,
 * sets, vectors and texts, of the same width and kind.
 *
 * Throws a SceneError that names scene and field for whatever `checkScene` refuses, for scenes that are not alike, for a scene longer
 * than `padTo`, and for a batch without a single valid point.
 */
export function collateScenes(scenes: readonly Scene[], options: CollateOptions & { layout: 'packed' }): PackedBatch
export function collateScenes(scenes: readonly Scene[], options?: CollateOptions & { layout?: 'padded' }): PaddedBatch
export function collateScenes(scenes: readonly Scene[], options?: CollateOptions): SceneBatch
export function collateScenes(scenes: readonly Scene[], options: CollateOptions = {}): SceneBatch {
  for (const [i, scene] of scenes.entries()) checkScene(scene, i, options)
  const { maxPoints } = options
  return collateChecked(maxPoints ? scenes.map(scene => limitPoints(scene, maxPoints)) : scenes, options)
}

/** `collateScenes` of scenes that `checkScene` has passed and that have been limited; with `memory` its arrays are parts of one buffer. */
export function collateChecked(given: readonly Scene[], options: CollateOptions, memory?: BatchMemory): SceneBatch {
  const scenes = given.map(dropMasked)
  checkAlike(scenes)
  checkNames(scenes[0], options)
  const array = memory ? memory.batch() : ownArray
  const { fields = {}, sets = {}, vectors = {}, texts = {} } = scenes[0]
  const shared = {
    size: scenes.length,
    names: scenes.map(scene => scene.name ?? ''),
    vectors: mapFields(vectors, ({ data, width }, name) => {
      const out = array(data, scenes.length * width)
      for (const [b, scene] of scenes.entries()) out.set(scene.vectors![name].data, b * width)
      return { data: out, shape: [scenes.length, width] }
    }),
    texts: mapFields(texts, (_, name) => scenes.map(scene => scene.texts![name])),
    transforms: scenes.map(scene => scene.transform ?? IDENTITY),
  }
  const points = scenes.map(scene => ({ data: scene.points, width: 3 }))
  const field = (name: string) => scenes.map(scene => scene.fields![name])
  const set = (name: string) => scenes.map(scene => scene.sets![name])

  if (options.layout === 'packed') {
    const pack = (columns: Field[]): PackedRows => ({
      ...packRows(columns, array),
      ...offsetsOf(columns.map(rowCount)),
    })
    return {
      layout: 'packed',
      points: pack(points),
      fields: mapFields(fields, (_, name) => packRows(field(name), array)),
      sets: mapFields(sets, (_, name) => pack(set(name))),
      ...shared,
    }
  }
  const pad = (columns: Field[], name: string): PaddedRows => {
    const lengths = Int32Array.from(columns, rowCount)
    const rows = paddedLength(name, lengths, scenes, options)
    return { ...padRows(columns, rows, options.padding?.[name], array), mask: maskOf(lengths, rows, array), lengths }
  }
  const paddedPoints = pad(points, 'points')
  return {
    layout: 'padded',
    points: paddedPoints,
    fields: mapFields(fields, (_, name) => padRows(field(name), paddedPoints.shape[1], options.padding?.[name], array)),
    sets: mapFields(sets, (_, name) => pad(set(name), name)),
    ...shared,
  }
}

const FLAGS = new Uint8Array(0)

function packRows(columns: readonly Field[], array: MakeArray): BatchArray {
  const width = columns[0].width
  const data = array(
    columns[0].data,
    columns.reduce((sum, column) => sum + column.data.length, 0),
  )
  let at = 0
  for (const column of columns) {
    data.set(column.data, at)
    at += column.data.length
  }
  return { data, shape: [1, data.length / width, width] }
}

function padRows(columns: readonly Field[], rows: number, padding = 0, array: MakeArray): BatchArray {
  const width = columns[0].width
  const stride = rows * width
  const data = array(columns[0].data, columns.length * stride)
  for (const [b, column] of columns.entries()) {
    data.set(column.data, b * stride)
    data.fill(padding, b * stride + column.data.length, (b + 1) * stride)
  }
  return { data, shape: [columns.length, rows, width] }
}

function maskOf(lengths: Int32Array, rows: number, array: MakeArray): Uint8Array {
  const mask = array(FLAGS, lengths.length * rows) as Uint8Array
  for (let b = 0; b < lengths.length; b++) {
    mask.fill(1, b * rows, b * rows + lengths[b])
    mask.fill(0, b * rows + lengths[b], (b + 1) * rows)
  }
  return mask
}

function offsetsOf(counts: readonly number[]): { offsets: Int32Array; lengths: Int32Array } {
  const offsets = new Int32Array(counts.length + 1)
  for (let b = 0; b < counts.length; b++) offsets[b + 1] = offsets[b] + counts[b]
  return { offsets, lengths: Int32Array.from(counts) }
}

/** How many rows each scene gets: the longest, raised by `multipleOf`, or `padTo`. */
function paddedLength(name: string, lengths: Int32Array, scenes: readonly Scene[], options: CollateOptions): number {
  let longest = 0
  for (let b = 1; b < lengths.length; b++) if (lengths[b] > lengths[longest]) longest = b
  const most = lengths[longest] ?? 0
  const padTo = byName(options.padTo, name)
  if (padTo !== undefined) {
    checkFits(name, most, padTo, scenes[longest], longest)
    return padTo
  }
  const step = byName(options.multipleOf, name) ?? 1
  return Math.ceil(most / step) * step
}

/** A plain number is about the points. */
function byName(option: number | Readonly<Record<string, number>> | undefined, name: string): number | undefined {
  return typeof option === 'number' ? (name === 'points' ? option : undefined) : option?.[name]
}

function rowCount({ data, width }: Field): number {
  return data.length / width
}
