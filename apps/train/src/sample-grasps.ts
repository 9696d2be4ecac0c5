// ditkit sample grasp --scene cloud.ply [--text "a mug"] [--count 32] [--up z] [--to samples]
//
// Grasps for a point cloud or mesh of your own.

import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { rngKey } from '@ditkit/core'
import {
  applyTransform,
  estimateNormals,
  limitPoints,
  type Scene,
  SceneError,
  type SceneTransform,
} from '@ditkit/scene-collate'
import { readSceneFile } from '@ditkit/scene-collate/node'
import { messageOf, UserError } from './errors'
import { drawGrasps } from './grasp/draw'
import type { TrainedGrasps } from './model/trained'
import { makeObjective } from './objective/objective'
import { writeGrasps } from './report/grasps'
import { startProgress } from './report/progress'
import { diskError } from './run/atomic-folder'
import { embedTexts } from './text/embed'
import type { UpAxis } from './up-axes'

export interface SampleGraspsRequest {
  /** OBJ, PLY, PCD or XYZ file, metres. */
  readonly scene: string
  /** What to grasp; left out, whatever is there. */
  readonly text?: string | undefined
  /** Which axis of the file points up. */
  readonly up?: UpAxis | undefined
  readonly count?: number | undefined
  readonly guidance?: number | undefined
  readonly seed: number
  /** Path of the files, without extension. */
  readonly to: string
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

export async function sampleGrasps(trained: TrainedGrasps, request: SampleGraspsRequest): Promise<void> {
  const { config, device, model } = trained
  if (config.data.kind !== 'objects')
    throw new UserError(`${trained.path} was trained on ${config.data.kind}, not on objects`)
  const scene = await readUpright(request, config.data.points[1])
  const texts = request.text === undefined ? undefined : await embedTexts([request.text])
  const count = request.count ?? 32
  const drawing = { ...config, sample: { ...config.sample, guidance: request.guidance ?? config.sample.guidance } }
  const progress = startProgress('Drawing', 1, 'scenes')
  const objective = makeObjective(drawing)
  const key = rngKey(request.seed)
  const poses = await drawGrasps({
    device,
    model,
    objective,
    config: drawing,
    scenes: [scene],
    texts,
    count,
    key,
    progress,
  })
  progress.stop()
  try {
    mkdirSync(dirname(request.to), { recursive: true })
    await writeGrasps(request.to, [{ ...scene, texts: { object: request.text ?? request.scene } }], poses)
  } catch (error) {
    throw diskError(error, request.to)
  }
  console.log(`Wrote ${request.to}.png, ${request.to}.pt (poses in metres, z up, z = 0 the lowest point)`)
}

/** The cloud with z up and its lowest point at z = 0, at most `most` points, with normals. */
async function readUpright({ scene: path, up = 'z' }: SampleGraspsRequest, most: number): Promise<Scene> {
  try {
    const read = await readSceneFile(path, { dropInvalid: true })
    const normals = read.fields?.normals ?? { data: estimateNormals(read.points), width: 3 }
    const { points, fields, name } = applyTransform(
      { name: read.name, points: read.points, fields: { normals: { ...normals, parts: ['direction'] } } },
      { rotation: TO_Z[up], scale: 1, translation: [0, 0, 0] },
    )
    const limited = limitPoints({ name, points, fields }, { policy: 'farthest', count: most })
    let lowest = Infinity
    for (let i = 2; i < limited.points.length; i += 3) lowest = Math.min(lowest, limited.points[i])
    return { ...limited, points: limited.points.map((value, i) => (i % 3 === 2 ? value - lowest : value)) }
  } catch (error) {
    if (error instanceof SceneError) throw new UserError(`--scene ${path}: ${messageOf(error)}`)
    throw error
  }
}
