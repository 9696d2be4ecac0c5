// A cloud or mesh of the user's own as a scene to grasp in: upright, with normals, of as many points as the model knows.

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

export interface Cloud {
  /** Points and normals, metres; z up, the lowest point at z = 0. */
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

/** At most `most` points, evenly. Throws a UserError that names the file for one that cannot be read or holds no point. */
export async function readCloud(path: string, up: UpAxis, most: number): Promise<Cloud> {
  const read = await readFile(path)
  const all = dropInvalidPoints(read)
  const [given, valid] = [read.points.length / 3, all.points.length / 3]
  if (valid === 0) {
    const what = given === 0 ? 'there is none' : `all ${given} are NaN or infinite`
    throw new UserError(`--scene ${path}: points: ${what}; there is nothing to grasp`)
  }
  const few = limitPoints(all, { policy: 'farthest', count: most })
  const own = few.fields?.normals?.width === 3 ? few.fields.normals.data : undefined
  const normals = own ?? estimateNormals(all.points, { at: few.points })
  const turned = applyTransform(
    { name: few.name, points: few.points, fields: { normals: { data: normals, width: 3, parts: ['direction'] } } },
    { rotation: TO_Z[up], scale: 1, translation: [0, 0, 0] },
  )
  const [low, high] = boundsOf(turned.points)
  return {
    scene: { ...turned, points: turned.points.map((value, i) => (i % 3 === 2 ? value - low[2] : value)) },
    guessedNormals: own === undefined,
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

function boundsOf(points: Float32Array): [number[], number[]] {
  const [low, high] = [Array(3).fill(Infinity), Array(3).fill(-Infinity)]
  for (let i = 0; i < points.length; i++) {
    low[i % 3] = Math.min(low[i % 3], points[i])
    high[i % 3] = Math.max(high[i % 3], points[i])
  }
  return [low, high]
}
