// A cloud or mesh of the user's own as a scene to grasp in: upright, with normals, of as many points as the model knows.

import { rngKey } from '@ditkit/core'
import {
  applyTransform,
  dropInvalidPoints,
  estimateNormals,
  limitPoints,
  type Scene,
  SceneError,
  type SceneTransform,
} from '@ditkit/scene-collate'
import { readSceneFile } from '@ditkit/scene-collate/node'
import { messageOf, UserError } from '../errors'
import type { UpAxis } from '../up-axes'
import { aboveTable } from './table-plane'

export interface CloudOptions {
  /** Which axis of the file points up, or nearly so where the table says it exactly. */
  readonly up: UpAxis
  /** The cloud is a scan from the file's origin, of which what stands on the largest level plane is kept. */
  readonly table: boolean
  /** Points to keep, evenly. */
  readonly most: number
}

export interface Cloud {
  /** Points and normals, metres; z up, the lowest point or the table at z = 0. `transform` is the move from the file's coordinates. */
  readonly scene: Scene
  /** The file had no normals: they are a guess, and may point inward. */
  readonly guessedNormals: boolean
  /** Points of the file that are NaN or infinite, and left out. */
  readonly invalid: number
  /** Metres, along the longest side of its box. */
  readonly extent: number
}

/** Turns that bring an axis to +z, as quaternions (w, x, y, z). */
const HALF = Math.SQRT1_2
const TO_Z: Record<UpAxis, SceneTransform['rotation']> = {
  z: [1, 0, 0, 0],
  '-z': [0, 1, 0, 0],
  y: [HALF, HALF, 0, 0],
  '-y': [HALF, -HALF, 0, 0],
  x: [HALF, 0, -HALF, 0],
  '-x': [HALF, 0, HALF, 0],
}

/** Throws a UserError that names the file for one that cannot be read, holds no point, or has nothing on a table where there should be. */
export async function readCloud(path: string, { up, table, most }: CloudOptions): Promise<Cloud> {
  const read = await readFile(path)
  const all = dropInvalidPoints(read)
  const [given, valid] = [read.points.length / 3, all.points.length / 3]
  if (valid === 0) {
    const what = given === 0 ? 'there is none' : `all ${given} are NaN or infinite`
    throw new UserError(`--scene ${path}: points: ${what}; there is nothing to grasp`)
  }
  const normals = all.fields?.normals?.width === 3 ? all.fields.normals : undefined
  const upright = applyTransform(
    { name: all.name, points: all.points, ...(normals && { fields: { normals } }) },
    { rotation: TO_Z[up], scale: 1, translation: [0, 0, 0] },
  )
  const placed = table ? standingOnTable(upright, path) : lowered(upright)
  const few = limitPoints(placed, { policy: 'farthest', count: most })
  const [low, high] = boundsOf(few.points)
  return {
    scene: normals ? few : { ...few, fields: { normals: guessNormals(placed, few, table) } },
    guessedNormals: !normals,
    invalid: given - valid,
    extent: Math.max(...high.map((value, axis) => value - low[axis])),
  }
}

async function readFile(path: string): Promise<Scene> {
  try {
    return await readSceneFile(path)
  } catch (error) {
    if (error instanceof SceneError) throw new UserError(`--scene ${path}: ${messageOf(error)}`)
    throw new UserError(`--scene ${path} cannot be read: ${messageOf(error)}`)
  }
}

function standingOnTable(scene: Scene, path: string): Scene {
  const found = aboveTable(scene, rngKey(0))
  if (!found?.points.length)
    throw new UserError(
      `--table: ${path} has ${found ? 'nothing that stands on its largest level plane' : 'no level plane'}; is --up its upward axis, and are its units metres?`,
    )
  return found
}

/** With the lowest point at z = 0. */
function lowered(scene: Scene): Scene {
  const [[, , lowest]] = boundsOf(scene.points)
  return applyTransform(scene, { rotation: [1, 0, 0, 0], scale: 1, translation: [0, 0, -lowest] })
}

/** A scan shows what faces its viewpoint; of anything else it is likelier that it was seen from all sides. */
function guessNormals({ points, transform }: Scene, { points: at }: Scene, scanned: boolean) {
  const origin = applyTransform({ points: new Float32Array(3) }, transform!).points
  const viewpoint = [origin[0], origin[1], origin[2]] as const
  return { data: estimateNormals(points, { at, ...(scanned && { viewpoint }) }), width: 3 }
}

function boundsOf(points: Float32Array): [number[], number[]] {
  const [low, high] = [Array(3).fill(Infinity), Array(3).fill(-Infinity)]
  for (let i = 0; i < points.length; i++) {
    low[i % 3] = Math.min(low[i % 3], points[i])
    high[i % 3] = Math.max(high[i % 3], points[i])
  }
  return [low, high]
}
