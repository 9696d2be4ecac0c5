// What every scene must satisfy before it goes into a batch. Points dropped by the mask may hold anything.

import { allFinite } from './all-finite'
import { type Field, isPart, partWidth, pointCount, type Scene, type SetField } from './scene'
import { SceneError, sceneLabel } from './scene-error'

export interface CheckOptions {
  /** Accept a scene without a single valid point. Default false. */
  readonly allowEmpty?: boolean
}

/**
 * Throws a SceneError that names scene and field unless the scene is sound: at least one valid point, sizes that agree, masks and
 * flags of 0 and 1, and finite numbers wherever the mask is 1. `index` stands in the message for a scene without a name.
 */
export function checkScene(scene: Scene, index?: number, { allowEmpty = false }: CheckOptions = {}): void {
  const label = sceneLabel(scene, index)
  const fail = (field: string, detail: string): never => {
    throw new SceneError(label, field, detail)
  }
  if (!(scene.points instanceof Float32Array)) fail('points', `expected a Float32Array, got ${kindOf(scene.points)}`)
  if (scene.points.length % 3 !== 0)
    fail('points', `has ${scene.points.length} numbers, expected 3 per point (x, y, z)`)
  const count = pointCount(scene)
  if (count === 0 && !allowEmpty) fail('points', 'is empty; drop the scene, or say allowEmpty: true')
  const { mask } = scene
  if (mask) {
    checkMask(mask, count, 'points', detail => fail('mask', detail))
    if (count > 0 && !allowEmpty && !someValid(mask))
      fail('mask', 'is 0 everywhere; drop the scene, or say allowEmpty: true')
  }
  checkFinite(scene.points, 3, mask, 'point', detail => fail('points', detail))

  const used = new Set(['points', 'mask'])
  const checkName = (name: string) => {
    if (used.has(name)) fail(name, 'two things of the scene have this name; rename one')
    used.add(name)
  }
  for (const [name, field] of Object.entries(scene.fields ?? {})) {
    checkName(name)
    checkField(field, count, mask, 'point', detail => fail(name, detail))
  }
  for (const [name, set] of Object.entries(scene.sets ?? {})) {
    checkName(name)
    checkSet(set, detail => fail(name, detail))
  }
  for (const [name, vector] of Object.entries(scene.vectors ?? {})) {
    checkName(name)
    checkField(vector, 1, undefined, 'row', detail => fail(name, detail))
  }
  for (const [name, text] of Object.entries(scene.texts ?? {})) {
    checkName(name)
    if (typeof text !== 'string') fail(name, `expected a string, got ${kindOf(text)}`)
  }
}

type Fail = (detail: string) => never

function checkSet(set: SetField, fail: Fail): void {
  checkWidth(set, fail)
  if (set.data.length % set.width !== 0)
    fail(`has ${set.data.length} numbers, which is not a multiple of its width ${set.width}`)
  const rows = set.data.length / set.width
  if (set.mask) checkMask(set.mask, rows, 'rows', detail => fail(`mask ${detail}`))
  checkField(set, rows, set.mask, 'row', fail)
}

function checkField(field: Field, rows: number, mask: ArrayLike<number> | undefined, unit: string, fail: Fail): void {
  checkWidth(field, fail)
  const { data, width } = field
  if (data.length !== rows * width)
    fail(`has ${data.length} numbers, expected ${rows * width} (${rows} ${unit}${rows === 1 ? '' : 's'} × ${width})`)
  if (data instanceof Float32Array) checkFinite(data, width, mask, unit, fail)
  if (data instanceof Uint8Array) checkFlags(data, width, mask, fail)
}

function checkWidth({ data, width, parts }: Field, fail: Fail): void {
  if (!(data instanceof Float32Array || data instanceof Int32Array || data instanceof Uint8Array))
    fail(`data is ${kindOf(data)}, expected a Float32Array, Int32Array or, for flags, a Uint8Array`)
  if (!Number.isInteger(width) || width < 1) fail(`width is ${width}, expected a whole number of at least 1`)
  if (!parts) return
  const unknown = parts.find(part => !isPart(part))
  if (unknown !== undefined) fail(`parts has ${JSON.stringify(unknown)}, which is no part; see Part`)
  const columns = parts.reduce<number>((sum, part) => sum + partWidth(part), 0)
  if (columns !== width) fail(`parts [${parts.join(', ')}] make ${columns} columns, but the width is ${width}`)
  if (!(data instanceof Float32Array) && parts.some(part => typeof part !== 'number'))
    fail(`parts that move need a Float32Array, the data is ${kindOf(data)}`)
}

function checkMask(mask: ArrayLike<number>, count: number, unit: string, fail: Fail): void {
  if (mask.length !== count) fail(`has ${mask.length} entries, but there are ${count} ${unit}`)
  for (let i = 0; i < count; i++) {
    const value = Number(mask[i])
    if (value !== 0 && value !== 1) fail(`entry ${i} is ${mask[i]}, expected 0 or 1`)
  }
}

function checkFlags(data: Uint8Array, width: number, mask: ArrayLike<number> | undefined, fail: Fail): void {
  for (let i = 0; i < data.length; i++)
    if (data[i] > 1 && (!mask || mask[Math.floor(i / width)]))
      fail(`entry ${i} is ${data[i]}; a Uint8Array holds flags, 0 or 1 (use a Float32Array or Int32Array for numbers)`)
}

function checkFinite(
  data: Float32Array,
  width: number,
  mask: ArrayLike<number> | undefined,
  unit: string,
  fail: Fail,
): void {
  if (allFinite(data)) return
  let bad = 0
  let first = -1
  for (let i = 0; i < data.length; i++) {
    if (Number.isFinite(data[i]) || (mask && !mask[Math.floor(i / width)])) continue
    if (first < 0) first = i
    bad++
  }
  if (bad === 0) return
  const more = bad > 1 ? ` (and ${bad - 1} more)` : ''
  fail(
    `${unit} ${Math.floor(first / width)} has ${data[first]} in column ${first % width}${more}; mask it out, or drop it (dropInvalidPoints)`,
  )
}

function someValid(mask: ArrayLike<number>): boolean {
  for (let i = 0; i < mask.length; i++) if (mask[i]) return true
  return false
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : typeof value === 'object' ? value.constructor.name : typeof value
}
