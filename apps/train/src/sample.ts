// ditkit sample MODEL [--labels 3,1,4] [--count 16] [--guidance 2] [--seed 1] [--to samples] [key=value …]
//
// Draws from trained weights into PNG, .pt and an animation of the denoising.

import { existsSync, mkdirSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import { writeFileAtomic } from '@ditkit/checkpoint/node'
import { type Device, rngKey } from '@ditkit/core'
import type { DiT } from '@ditkit/dit-model'
import { applyOverride, checkConfig } from './config/load'
import { openDevice } from './device'
import { drawImages, evenLabels } from './draw'
import { UserError } from './errors'
import { buildModel } from './model/build'
import type { ModelCard } from './model/card'
import { loadWeights, openWeights } from './model/weights'
import { gridAnimation, type Images } from './report/grid'
import { startProgress } from './report/progress'
import { chooseShown, writeSamples } from './report/samples'
import { diskError } from './run/atomic-folder'
import { newestCheckpoint } from './run/checkpoint'
import { RunFolder } from './run/folder'

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
  readonly overrides: readonly string[]
}

/** Images an animation shows at most. */
const ANIMATED = 25
/** Frames it has at most, the first and the last among them. */
const FRAMES = 60

export async function sample(request: SampleRequest): Promise<void> {
  const { device, model, card } = await openTrained(request.model, request.out, request.overrides)
  try {
    const { config, format } = card
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
  } finally {
    device.dispose()
  }
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

export interface Trained {
  readonly device: Device
  readonly model: DiT
  /** Its settings are those recorded with the weights, with the overrides applied. */
  readonly card: ModelCard
  readonly path: string
  /** Whether an override changed a setting. */
  readonly changed: boolean
}

/** A trained model with averaged weights on its device, by run name or path; overrides change how it draws. */
export async function openTrained(name: string, out: string, overrides: readonly string[]): Promise<Trained> {
  const path = findWeights(name, out)
  await using weights = await openWeights(path)
  if (!weights.card) {
    throw new UserError(
      `${weights.path} does not say what model it holds: it was not written by ditkit train (use init_from= to start a run from it)`,
    )
  }
  const tree = structuredClone(weights.card.config) as Record<string, unknown>
  for (const override of overrides) applyOverride(tree, override)
  const config = checkConfig(tree, 'the command line')
  const device = await openDevice(config)
  const model = buildModel(device, rngKey(0), config, weights.card.format)
  await loadWeights(model, weights)
  const changed = JSON.stringify(config) !== JSON.stringify(weights.card.config)
  return { device, model, card: { ...weights.card, config }, path: weights.path, changed }
}

function findWeights(name: string, out: string): string {
  if (existsSync(name)) return name
  if (extname(name) !== '' || basename(name) !== name) throw new UserError(`weights ${name} do not exist`)
  const run = new RunFolder(out, name)
  const found = existsSync(run.model) ? run.model : newestCheckpoint(run.checkpoints)
  if (!found) {
    throw new UserError(
      `there is no model of a run ${name}: neither ${run.model} nor a checkpoint in ${run.checkpoints}; train it first, or say --out`,
    )
  }
  return found
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
