// What a finished run leaves behind: the model, samples beside real images, curves, and a summary.

import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { writeFileAtomic, writeSafetensors } from '@ditkit/checkpoint/node'
import { permutation, type RngKey } from '@ditkit/core'
import type { Dataset, ImageSplit } from '../data/dataset'
import { drawImages, evenLabels } from '../draw'
import { cardMetadata, type ModelCard } from '../model/card'
import { packageVersion } from '../package-files'
import { curvesPng } from '../report/curves'
import type { Images } from '../report/grid'
import { startProgress } from '../report/progress'
import { writeSamples } from '../report/samples'
import type { Session } from '../training/session'
import { diskError } from './atomic-folder'
import type { RunFolder } from './folder'
import type { Interrupt } from './interrupt'
import { type MetricsRow, readMetrics } from './metrics'

/** Writes everything from the averaged weights; doing it again gives the same files. */
export async function writeOutputs(
  session: Session,
  run: RunFolder,
  card: ModelCard,
  interrupt: Interrupt,
): Promise<void> {
  const { config, dataset, ema, keys } = session
  const rows = readMetrics(run.metrics('training_metrics.csv'))
  try {
    mkdirSync(dirname(run.model), { recursive: true })
    await writeSafetensors(run.model, await ema.stateDict(), { metadata: cardMetadata(card) })
    await writeFileAtomic(run.metrics('training_curves.png'), await curvesPng(rows, `${run.name}: loss`))
    const labels = evenLabels(dataset.classes.length, config.sample.count)
    const targets = targetImages(dataset, labels, config.sample.count, keys.draw)
    await writeSamples(run.metrics('target_samples'), targets, labels)
    const generated = await drawSamples(session, labels, interrupt)
    await writeSamples(run.metrics('generated_samples'), generated, labels)
    await writeSummary(run, summarize(session, run, rows))
  } catch (error) {
    throw diskError(error, run.metricsFolder)
  }
  console.log(`The model is ${run.model}; pictures, samples and metrics are in ${run.metricsFolder}`)
}

export async function writeSummary(run: RunFolder, content: Record<string, unknown>): Promise<void> {
  await writeFileAtomic(run.metrics('summary.json'), `${JSON.stringify(content, null, 2)}\n`)
}

async function drawSamples(
  { config, dataset, device, ema, keys, model }: Session,
  labels: Int32Array | undefined,
  interrupt: Interrupt,
) {
  const { count, guidance } = config.sample
  const progress = startProgress('Drawing', count, 'images')
  try {
    return await ema.whileApplied(() =>
      drawImages({
        device,
        model,
        config,
        format: dataset,
        key: keys.draw,
        labels,
        count,
        guidance,
        progress,
        interrupt,
      }),
    )
  } finally {
    progress.stop()
  }
}

/** Real training images with the same labels as the generated ones. */
function targetImages(dataset: Dataset, labels: Int32Array | undefined, count: number, key: RngKey): Images {
  const { train, channels, size } = dataset
  const order = permutation(key, train.count)
  const chosen = labels
    ? chooseByLabel(train, order, labels)
    : Array.from({ length: count }, (_, i) => order[i % order.length])
  return { data: train.read(chosen).images, shape: [count, channels, size, size] }
}

function chooseByLabel(train: ImageSplit, order: Int32Array, labels: Int32Array): number[] {
  const members = groupByLabel(train, order)
  const used = new Map<number, number>()
  return Array.from(labels, label => {
    const candidates = members.get(label)!
    const next = used.get(label) ?? 0
    used.set(label, next + 1)
    return candidates[next % candidates.length]
  })
}

function groupByLabel(train: ImageSplit, order: Int32Array): Map<number, number[]> {
  const groups = new Map<number, number[]>()
  for (const index of order) {
    const label = train.labels[index]
    const group = groups.get(label)
    if (group) group.push(index)
    else groups.set(label, [index])
  }
  return groups
}

function summarize({ config, dataset, device, model }: Session, run: RunFolder, rows: readonly MetricsRow[]) {
  const last = rows.slice(-100)
  const { peakBytes } = device.memory()
  return {
    run: run.name,
    status: 'finished',
    version: packageVersion(),
    device: device.description,
    objective: config.objective,
    steps: rows.length,
    epochs: rows.at(-1)?.epoch ?? 0,
    batch: config.train.batch,
    /** Mean of the last 100 steps. */
    loss: last.reduce((sum, row) => sum + row.loss, 0) / last.length,
    val_loss: rows.findLast(row => row.val_loss !== undefined)?.val_loss ?? null,
    weights: model.parameters().reduce((sum, tensor) => sum + tensor.size, 0),
    training_images: dataset.train.count,
    classes: dataset.classes,
    samples: config.sample.count,
    guidance: dataset.classes.length > 0 ? config.sample.guidance : 1,
    peak_device_bytes: peakBytes,
    model: run.model,
  }
}
