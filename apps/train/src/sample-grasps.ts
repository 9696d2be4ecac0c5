// ditkit sample grasp --scene cloud.ply [--table] [--text "a mug"] [--negative "a plate"] [--count 32] [--up z] [--to samples]
//
// Grasps for a point cloud or mesh of your own.

import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { rngKey } from '@ditkit/core'
import { applyTransform, type SceneTransform } from '@ditkit/scene-collate'
import { UserError } from './errors'
import { drawGrasps } from './grasp/draw'
import { type Cloud, readCloud } from './grasp/read-cloud'
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
  /** What not to grasp: guidance leads away from it. */
  readonly negative?: string | undefined
  /** Which axis of the file points up. */
  readonly up?: UpAxis | undefined
  /** Keep what stands on the table of a scan. */
  readonly table?: boolean | undefined
  readonly count?: number | undefined
  readonly guidance?: number | undefined
  readonly seed: number
  /** Path of the files, without extension. */
  readonly to: string
}

/** Wider clouds than this, in metres, are probably not in metres, or more than a table. */
const WIDE = 2

export async function sampleGrasps(trained: TrainedGrasps, request: SampleGraspsRequest): Promise<void> {
  const { config, device, model } = trained
  if (config.data.kind !== 'objects')
    throw new UserError(`${trained.path} was trained on ${config.data.kind}, not on objects`)
  const guidance = request.guidance ?? config.sample.guidance
  if (request.negative !== undefined && guidance === 1)
    throw new UserError('--negative has no influence without guidance: say --guidance 2, for instance')
  if (model.proposal && guidance !== 1 && request.text === undefined && request.negative === undefined)
    throw new UserError(
      `--guidance ${guidance}: ${trained.path} is guided by texts alone; say --text, or --negative, or leave guidance at 1`,
    )
  const cloud = await readCloud(request.scene, {
    up: request.up ?? 'z',
    table: request.table ?? false,
    most: config.data.points[1],
  })
  tellOf(cloud, request.scene)
  const drawing = { ...config, sample: { ...config.sample, guidance } }
  const progress = startProgress('Drawing', 1, 'scenes')
  const poses = await drawGrasps({
    device,
    model,
    objective: makeObjective(drawing),
    config: drawing,
    scenes: [cloud.scene],
    texts: await embedded(request.text, '--text'),
    negative: await embedded(request.negative, '--negative'),
    count: request.count ?? 32,
    key: rngKey(request.seed),
    progress,
  })
  progress.stop()
  await writeResult(cloud, request, poses)
}

async function embedded(text: string | undefined, name: string): Promise<Float32Array | undefined> {
  return text === undefined ? undefined : await embedTexts([text], [name])
}

function tellOf({ invalid, extent }: Cloud, path: string): void {
  if (invalid > 0) console.log(`${path}: ${invalid} points are NaN or infinite and left out`)
  if (extent > WIDE)
    console.log(
      `${path} is ${extent.toFixed(1)} m wide; grasps were learned on objects of at most 40 cm: keep what stands on the table (--table), crop it, or scale it to metres`,
    )
}

async function writeResult(
  { scene, guessedNormals }: Cloud,
  { to, text, scene: path, table }: SampleGraspsRequest,
  poses: readonly Float32Array[],
): Promise<void> {
  const texts = { object: text ?? path }
  try {
    mkdirSync(dirname(to), { recursive: true })
    // A picture leaves out what faces away, which guessed normals do not tell.
    const shown = guessedNormals ? { points: scene.points, texts } : { ...scene, texts }
    await writeGrasps(to, [shown], poses, matrixOf(scene.transform!))
  } catch (error) {
    throw diskError(error, to)
  }
  console.log(`Wrote ${to}.png, ${to}.pt (poses in metres, z up, z = 0 the ${table ? 'table' : 'lowest point'})`)
}

/** Row-major [4, 4] of a move. */
function matrixOf(transform: SceneTransform): Float32Array {
  const corners = Float32Array.of(0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1)
  const { points } = applyTransform({ points: corners }, transform)
  const row = (axis: number) => [...[3, 6, 9].map(at => points[at + axis] - points[axis]), points[axis]]
  return Float32Array.from([...row(0), ...row(1), ...row(2), 0, 0, 0, 1])
}
