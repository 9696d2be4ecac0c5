// What the scenes of one batch must have in common, and the options that speak about them.

import type { CollateOptions } from './collate'
import { type Field, pointCount, type Scene } from './scene'
import { SceneError, sceneLabel } from './scene-error'

const KINDS = ['fields', 'sets', 'vectors', 'texts'] as const

/** Throws a SceneError unless there are scenes, one has a point, and all have the same fields of the same width and kind. */
export function checkAlike(scenes: readonly Scene[]): void {
  if (scenes.length === 0) throw new SceneError('collateScenes', 'scenes', 'there is none; a batch has at least one')
  if (scenes.every(scene => pointCount(scene) === 0)) {
    const names = scenes.map(sceneLabel).join(', ')
    throw new SceneError('collateScenes', 'points', `the batch has no valid point anywhere (${names})`)
  }
  const [first, ...others] = scenes
  for (const [i, scene] of others.entries()) {
    for (const kind of KINDS) checkSameFields(kind, first, scene, i + 1)
  }
}

function checkSameFields(kind: (typeof KINDS)[number], first: Scene, scene: Scene, index: number): void {
  const expected = first[kind] ?? {}
  const given = scene[kind] ?? {}
  const [a, b] = [sceneLabel(first, 0), sceneLabel(scene, index)]
  for (const name of Object.keys(expected)) {
    if (!Object.hasOwn(given, name)) throw new SceneError(b, name, `is missing from its ${kind}, but ${a} has it`)
    if (kind === 'texts') continue
    const [x, y] = [expected[name] as Field, given[name] as Field]
    if (x.width !== y.width) throw new SceneError(b, name, `has width ${y.width}, but ${x.width} in ${a}`)
    if (x.data.constructor !== y.data.constructor)
      throw new SceneError(b, name, `is a ${y.data.constructor.name}, but a ${x.data.constructor.name} in ${a}`)
  }
  const extra = Object.keys(given).find(name => !Object.hasOwn(expected, name))
  if (extra !== undefined) throw new SceneError(b, extra, `is in its ${kind}, but ${a} has no such`)
}

/** Throws a RangeError for an option about a name that no scene has, or a number that makes no sense. */
export function checkNames(scene: Scene, { padding, padTo, multipleOf }: CollateOptions): void {
  const padded = ['points', ...Object.keys(scene.sets ?? {})]
  const filled = [...padded, ...Object.keys(scene.fields ?? {})]
  checkOption('padding', padding, filled, () => true, '')
  const whole = (value: number) => Number.isInteger(value) && value >= 1
  const named = (option: CollateOptions['padTo']) => (typeof option === 'number' ? { points: option } : option)
  checkOption('padTo', named(padTo), padded, whole, 'a whole number of at least 1')
  checkOption('multipleOf', named(multipleOf), padded, whole, 'a whole number of at least 1')
}

function checkOption(
  option: string,
  values: Readonly<Record<string, number>> | undefined,
  names: readonly string[],
  accepts: (value: number) => boolean,
  expected: string,
): void {
  for (const [name, value] of Object.entries(values ?? {})) {
    if (!names.includes(name))
      throw new RangeError(`collateScenes: ${option} names '${name}', which is none of ${names.join(', ')}`)
    if (typeof value !== 'number' || !accepts(value))
      throw new RangeError(`collateScenes: ${option} of ${name} is ${value}, expected ${expected || 'a number'}`)
  }
}

/** Throws a SceneError when a scene's rows do not fit `padTo`. */
export function checkFits(name: string, rows: number, padTo: number, scene: Scene, index: number): void {
  if (rows > padTo) {
    const wayOut = name === 'points' ? '; limit the points first (limitPoints)' : ''
    throw new SceneError(sceneLabel(scene, index), name, `has ${rows} rows, more than padTo ${padTo}${wayOut}`)
  }
}
