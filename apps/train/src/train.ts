// ditkit train digits [train.steps=1500 …] [--out FOLDER] [--name RUN] [--resume | --overwrite]
//
// The reference trainer: reads top to bottom. What it works with is made in training/session.ts; what it leaves behind
// is listed in the README.

import { mkdirSync } from 'node:fs'
import { writeFileAtomic } from '@ditkit/checkpoint/node'
import { backward, mul, scopeAsync } from '@ditkit/core'
import { explainNonFinite } from './check/explain-non-finite'
import { loadConfig, writeConfig } from './config/load'
import { type Config, withoutMachine } from './config/schema'
import { openDevice } from './device'
import { UserError } from './errors'
import { printReferenceEstimate } from './reference-estimate'
import { startProgress } from './report/progress'
import { diskError } from './run/atomic-folder'
import {
  type CheckpointInfo,
  type FoundCheckpoint,
  findCheckpoint,
  newestCheckpoint,
  saveCheckpoint,
} from './run/checkpoint'
import { checkSameConfig, RunFolder, type RunMode } from './run/folder'
import { type Interrupt, Interrupted, watchInterrupt } from './run/interrupt'
import { MetricsFile } from './run/metrics'
import { writeOutputs, writeSummary } from './run/outputs'
import { openTask } from './task/open'
import { FigureMeans, outcomeOf } from './training/outcome'
import { openSession, type Session } from './training/session'
import { NonFiniteStep, StepLog, type StepReads } from './training/step-log'
import { validate } from './training/validation'

export interface TrainRequest {
  /** A built-in recipe's name, or the path of a YAML file. */
  readonly recipe: string
  /** `train.steps=200` and the like. */
  readonly overrides: readonly string[]
  readonly out: string
  readonly name?: string | undefined
  readonly mode: RunMode
}

/** Trains, and writes all outputs. Resolves to false when Ctrl-C ended it early, after saving. */
export async function train(request: TrainRequest): Promise<boolean> {
  const { name, config } = loadConfig(request.recipe, request.overrides)
  const run = new RunFolder(request.out, request.name ?? name)
  run.check(request.mode)
  run.tidy()
  const found = request.mode === 'resume' ? findCheckpoint(run.checkpoints) : undefined
  if (found) checkSameConfig(found.info.card.config, config)
  const task = await openTask(config, line => console.warn(line))
  const fingerprint = task.fingerprint()
  const device = await openDevice(config)
  const session = await openSession(device, config, task)
  if (found) await restore(session, found, fingerprint)
  const describe = (step: number): CheckpointInfo => ({
    card: { run: run.name, step, config: withoutMachine(config), format: task.format },
    epoch: session.batches.epochOf(step),
    dataset: fingerprint,
    device: { name: device.name, description: device.description },
  })
  announce(run, session, found)
  if (device.name === 'reference') await printReferenceEstimate(session)
  if (!found) await beginFolder(run, config)
  const interrupt = watchInterrupt(() => console.log('\nStopping; again to leave at once, without saving.'))
  try {
    const finished = await trainSteps(session, run, found?.info.card.step ?? 0, interrupt, describe)
    if (finished) await writeOutputs(session, run, describe(config.train.steps).card, interrupt)
    return finished
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error
    console.log('Stopped while drawing; the weights are saved. The same command with --resume draws again.')
    return false
  } finally {
    interrupt.release()
    device.dispose()
  }
}

/** The loop. Resolves to false when interrupted. */
async function trainSteps(
  session: Session,
  run: RunFolder,
  first: number,
  interrupt: Interrupt,
  describe: (step: number) => CheckpointInfo,
): Promise<boolean> {
  const { steps, checkpoint_every, keep_checkpoints } = session.config.train
  const columns = session.task.charts?.flatMap(chart => chart.columns)
  const metrics = MetricsFile.open(run.metrics('training_metrics.csv'), first, columns)
  const progress = startProgress('Training', steps, 'steps', first)
  const log = new StepLog(metrics, progress)
  try {
    for (let step = first; step < steps; step++) {
      await log.add(await trainStep(session, step))
      await session.device.ready()
      const done = step + 1
      if (done % checkpoint_every === 0 || done === steps || interrupt.requested) {
        await log.drain()
        metrics.flush()
        const path = await saveCheckpoint(run.checkpoints, session, describe(done), keep_checkpoints)
        if (interrupt.requested && done < steps) {
          progress.log(`Saved ${path}. Go on with the same command and --resume.`)
          return false
        }
      }
    }
    return true
  } catch (error) {
    progress.stop()
    if (error instanceof NonFiniteStep) throw await nonFiniteError(session, run, error)
    throw diskError(error, run.checkpoints)
  } finally {
    progress.stop()
    metrics.close()
  }
}

/** One optimizer step (counted from 0), enqueued; it waits only for losses that depend on the model's answer, and for validation. */
export async function trainStep(session: Session, step: number): Promise<StepReads> {
  const { config, task, optimizer, batches } = session
  const { accumulate, validate_every } = config.train
  const learningRate = session.learningRate(step)
  const losses: Promise<number>[] = []
  const figures = new FigureMeans()
  await scopeAsync(async s => {
    for (const { batch, key } of batches.ofStep(step)) {
      const { loss, figures: ofBatch } = await outcomeOf(s.run, batch, session, key)
      s.run(() => backward(accumulate === 1 ? loss : mul(loss, 1 / accumulate)))
      losses.push(loss.item())
      figures.add(ofBatch ?? {}, batches.microSize)
    }
    s.run(() => optimizer.step({ lr: learningRate }))
    optimizer.zeroGrad()
  })
  const validates = validate_every > 0 && task.validation.count > 0 && (step + 1) % validate_every === 0
  return {
    step,
    epoch: batches.epochOf(step),
    learningRate,
    losses,
    figures: figures.means(),
    report: optimizer.lastStep(),
    validation: validates
      ? await validate(session, task.validation, session.keys.validation, batches.microSize)
      : undefined,
  }
}

async function restore(session: Session, found: FoundCheckpoint, fingerprint: string): Promise<void> {
  if (found.info.dataset !== fingerprint) {
    throw new UserError(
      `the training data are not those of checkpoint ${found.path}: restore them, or start again with --overwrite`,
    )
  }
  await found.load(session)
  const [before, now] = [found.info.device.description, session.device.description]
  // The number of threads changes no result.
  const arithmetic = (description: string) => description.replace(/, \d+ threads?$/, '')
  if (arithmetic(before) !== arithmetic(now)) {
    console.warn(`The run began on ${before} and goes on with ${now}: the result may differ in the last bits.`)
  }
}

async function beginFolder(run: RunFolder, config: Config): Promise<void> {
  try {
    run.clear()
    mkdirSync(run.metricsFolder, { recursive: true })
    await writeFileAtomic(run.metrics('config.yaml'), writeConfig(config))
    await writeSummary(run, { run: run.name, status: 'training' })
  } catch (error) {
    throw diskError(error, run.metricsFolder)
  }
}

function announce(run: RunFolder, { task, device, model }: Session, found: FoundCheckpoint | undefined): void {
  const weights = model.parameters().reduce((sum, tensor) => sum + tensor.size, 0)
  console.log(`${device.description}`)
  console.log(`${task.description}; ${weights} weights`)
  if (found) console.log(`Resuming ${run.name} from step ${found.info.card.step} (${found.path})`)
}

async function nonFiniteError(session: Session, run: RunFolder, failure: NonFiniteStep): Promise<UserError> {
  const where = await explainNonFinite(session, failure.step)
  const checkpoint = newestCheckpoint(run.checkpoints)
  return new UserError(
    `training stopped: ${failure.message}. Replaying that batch: ${where}. ` +
      `${checkpoint ? `The last good checkpoint is ${checkpoint}` : 'There is no checkpoint before it'}; a smaller train.learning_rate or train.clip often helps.`,
  )
}
