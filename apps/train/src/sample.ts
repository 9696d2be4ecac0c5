// ditkit sample MODEL [--labels 3,1,4] [--count 16] [--guidance 2] [--seed 1] [--to samples] [key=value …]
//
// Draws from trained weights into PNG, .pt and an animation of the denoising.

import { mkdirSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import { writeFileAtomic } from '@ditkit/checkpoint/node'
import { rngKey } from '@ditkit/core'
import { drawImages, evenLabels } from './draw'
import { UserError } from './errors'
import { openTrained, type TrainedImages } from './model/trained'
import { gridAnimation, type Images } from './report/grid'
import { startProgress } from './report/progress'
import { chooseShown, writeSamples } from './report/samples'
import { diskError } from './run/atomic-folder'
import { sampleGrasps } from './sample-grasps'
import type { UpAxis } from './up-axes'

export interface SampleRequest {
  /** A run's name, or the path of a model file or checkpoint folder. */
  readonly model: string
  readonly out: string
  /** Names of classes, separated by commas. */
  readonly labels?: string | undefined
  readonly count?: number | undefined
  readonly guidance?: number | undefined
  readonly seed: number
  /** Path of the files, without extension. */
  readonly to: string
  readonly animation: 'webp' | 'gif' | 'none'
  /** Of a grasp model: the cloud or mesh to grasp in, its upward axis, whether it is a scan of a table, what to grasp and what not. */
  readonly scene?: string | undefined
  readonly up?: UpAxis | undefined
  readonly table?: boolean | undefined
  readonly text?: string | undefined
  readonly negative?: string | undefined
  readonly overrides: readonly string[]
}

/** Images an animation shows at most. */
const ANIMATED = 25
/** Frames it has at most, the first and the last among them. */
const FRAMES = 60

export async function sample(request: SampleRequest): Promise<void> {
  const trained = await openTrained(request.model, request.out, request.overrides)
  try {
    if (trained.kind === 'boxes')
      throw new UserError(`${request.model} finds boxes and draws nothing; ditkit eval ${request.model} scores it`)
    refuse(request, trained.kind === 'images' ? ['scene', 'text', 'negative', 'up', 'table'] : ['labels'], trained.kind)
    if (trained.kind === 'images') await sampleImages(request, trained)
    else await sampleGrasps(trained, { ...request, scene: sceneOf(request) })
  } finally {
    trained.device.dispose()
  }
}

/** Options that a model of this kind has no use for are not passed over in silence. */
function refuse(request: SampleRequest, options: readonly (keyof SampleRequest)[], kind: string): void {
  const given = options.find(option => request[option] !== undefined)
  if (given)
    throw new UserError(`--${given}: ${request.model} draws ${kind}, which it says nothing about; leave it out`)
}

function sceneOf({ model, scene }: SampleRequest): string {
  if (scene === undefined)
    throw new UserError(`${model} draws grasps: say for what, with --scene FILE (OBJ, PLY, PCD or XYZ)`)
  return scene
}

async function sampleImages(request: SampleRequest, { device, model, config, format }: TrainedImages): Promise<void> {
  const labels = chooseLabels(request, format.classes)
  const count = labels?.length ?? request.count ?? 16
  const frames: Images[] = []
  const progress = startProgress('Drawing', count, 'images')
  const images = await drawImages({
    device,
    model,
    config,
    format,
    key: rngKey(request.seed),
    labels,
    count,
    guidance: request.guidance ?? config.sample.guidance,
    progress,
    watched: request.animation === 'none' ? 0 : ANIMATED,
    onFrame: frame => frames.push(frame),
  })
  progress.stop()
  await writeResults(request, images, labels, frames)
}

async function writeResults(
  request: SampleRequest,
  images: Images,
  labels: Int32Array | undefined,
  frames: Images[],
): Promise<void> {
  const { to, animation } = request
  try {
    mkdirSync(dirname(to), { recursive: true })
    await writeSamples(to, images, labels)
    const written = [`${to}.png`, `${to}.pt`]
    if (animation !== 'none') {
      const { layout } = chooseShown(frames[0].shape[0], undefined)
      written.push(`${to}.${animation}`)
      await writeFileAtomic(written.at(-1)!, await gridAnimation(thin(frames), layout, animation))
    }
    console.log(`Wrote ${written.join(', ')}`)
  } catch (error) {
    throw diskError(error, to)
  }
}

/** At most FRAMES of them, evenly, the last always. */
function thin(frames: readonly Images[]): Images[] {
  const kept = Math.min(frames.length, FRAMES)
  return Array.from({ length: kept }, (_, i) => frames[Math.round((i * (frames.length - 1)) / Math.max(1, kept - 1))])
}

function chooseLabels({ labels, count }: SampleRequest, classes: readonly string[]): Int32Array | undefined {
  if (labels === undefined) return evenLabels(classes.length, count ?? Math.max(16, Math.min(100, classes.length * 10)))
  if (classes.length === 0) throw new UserError('--labels: this model is unconditional')
  const asked = labels.split(',').map(label => {
    const index = classes.indexOf(label.trim())
    if (index < 0)
      throw new UserError(
        `--labels: there is no class ${JSON.stringify(label)} (expected some of ${classes.join(', ')})`,
      )
    return index
  })
  return Int32Array.from({ length: count ?? asked.length }, (_, i) => asked[i % asked.length])
}

/** Where `ditkit sample` writes unless --to says otherwise. */
export function defaultTarget(model: string, out: string): string {
  return join(out, 'output', 'samples', basename(model, extname(model)))
}
