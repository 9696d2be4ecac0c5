// What a finished run leaves behind: the model, samples beside real ones, curves, and a summary.

import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { writeFileAtomic, writeSafetensors } from '@ditkit/checkpoint/node'
import { cardMetadata, type ModelCard } from '../model/card'
import { packageVersion } from '../package-files'
import { curvesPng } from '../report/curves'
import { startProgress } from '../report/progress'
import type { Samples } from '../task/task'
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
  const { config, task, ema, keys } = session
  const rows = readMetrics(run.metrics('training_metrics.csv'))
  try {
    mkdirSync(dirname(run.model), { recursive: true })
    await writeSafetensors(run.model, await ema.stateDict(), { metadata: cardMetadata(card) })
    await writeFileAtomic(run.metrics('training_curves.png'), await curvesPng(rows, `${run.name}: loss`, task.charts))
    await (await task.targets(config, keys.draw)).write(run.metrics('target_samples'))
    await (await drawSamples(session, interrupt)).write(run.metrics('generated_samples'))
    await writeSummary(run, summarize(session, run, rows))
  } catch (error) {
    throw diskError(error, run.metricsFolder)
  }
  console.log(`The model is ${run.model}; pictures, samples and metrics are in ${run.metricsFolder}`)
}

export async function writeSummary(run: RunFolder, content: Record<string, unknown>): Promise<void> {
  await writeFileAtomic(run.metrics('summary.json'), `${JSON.stringify(content, null, 2)}\n`)
}

async function drawSamples(session: Session, interrupt: Interrupt): Promise<Samples> {
  const { config, task, ema, keys } = session
  const progress = startProgress('Drawing', config.sample.count, task.unit)
  try {
    return await ema.whileApplied(() => task.draw(session, config, keys.draw, { progress, interrupt }))
  } finally {
    progress.stop()
  }
}

/** Of each of the task's figures the last. */
function lastFigures(rows: readonly MetricsRow[]): Record<string, number> {
  return Object.assign({}, ...rows.map(row => row.figures ?? {}))
}

function summarize({ config, task, device, model }: Session, run: RunFolder, rows: readonly MetricsRow[]) {
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
    ...lastFigures(rows),
    weights: model.parameters().reduce((sum, tensor) => sum + tensor.size, 0),
    ...task.summary(config),
    peak_device_bytes: peakBytes,
    model: run.model,
  }
}
