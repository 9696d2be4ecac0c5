// What a configuration will need, found by running it on a device that computes nothing: the trainer's own step, validation
// and drawing allocate there what they would allocate on the CPU.

import { cpuDryRun, type MemoryLedger } from '@ditkit/backend-cpu'
import type { Config } from '../config/schema'
import type { Batch } from '../task/task'
import { trainStep } from '../train'
import { openSession, type Session } from '../training/session'
import { validate } from '../training/validation'
import { type Components, componentsOf, type Operations, operationsOf } from './figures'
import type { StandIn } from './stand-in'

export interface Prediction {
  /** Trained and frozen. */
  readonly parameters: number
  /** The most bytes of tensors in use, as `device.memory().peakBytes` counts them, over the whole run and in its parts. */
  readonly peak: number
  readonly peaks: { readonly step: number; readonly validation: number; readonly drawing: number }
  /** What the step's peak is made of. */
  readonly components: Components
  /** Operations per optimizer step. */
  readonly operations: { readonly forward: Operations; readonly backward: Operations; readonly optimizer: Operations }
  /** Bytes that a step's calls read and write, each operand once. */
  readonly bytesMoved: number
  /** Bytes of the whole process. */
  readonly process: ProcessMemory
}

export interface ProcessMemory {
  /** What the allocator takes for tensors: size classes, and freed memory that it keeps for reuse. */
  readonly tensors: number
  /** The same when it has to give back what it keeps: the least it can do with. */
  readonly leastTensors: number
  /** Weights and optimizer state on the host while a checkpoint is written. */
  readonly checkpoint: number
  /** The samples of the data set. */
  readonly dataset: number
  /** Node.js with the program, and the kernels' scratch memory. */
  readonly program: number
}

/** Measured; the same for every model within some megabytes. */
const PROGRAM_BYTES = 180e6
const STEP = ['data', 'forward', 'backward', 'optimizer']

/** Computes nothing and reads no weights. Throws a UserError for a configuration that cannot be trained. */
export async function predict(config: Config, { task, bytes }: StandIn): Promise<Prediction> {
  const { device, ledger, work } = await cpuDryRun()
  const { init_from: _, ...settings } = config
  const session = await openSession(device, { ...settings, train: { ...config.train, validate_every: 0 } }, task, {
    draw: false,
  })
  for (const tensor of session.model.stateTensors().values()) ledger.assign(tensor.storage.handle, 'weights')
  const forwardEnds = await stepInPhases(session, ledger)
  const components = componentsOf(ledger, STEP, forwardEnds)
  ledger.phase = 'validation'
  const { batches, keys } = session
  if (config.train.validate_every > 0 && task.validation.count > 0)
    await validate(session, task.validation, keys.validation, batches.microSize)
  ledger.phase = 'drawing'
  await drawBriefly(session)
  const peakOf = (phases: readonly string[]) => Math.max(...phases.map(phase => ledger.peaks.get(phase)?.bytes ?? 0))
  const states = components.weights + components['optimizer state'] + components['averaged weights']
  return {
    parameters: session.model.parameters().reduce((sum, tensor) => sum + tensor.size, 0),
    peak: ledger.peakBytes,
    peaks: { step: peakOf(STEP), validation: peakOf(['validation']), drawing: peakOf(['drawing']) },
    components,
    operations: {
      forward: operationsOf(work(), ['data', 'forward']),
      backward: operationsOf(work(), ['backward']),
      optimizer: operationsOf(work(), ['optimizer']),
    },
    bytesMoved: work()
      .filter(({ phase }) => STEP.includes(phase))
      .reduce((sum, entry) => sum + entry.bytes, 0),
    process: {
      tensors: ledger.reservedBytes,
      leastTensors: ledger.peakCapacity,
      checkpoint: states,
      dataset: bytes,
      program: PROGRAM_BYTES,
    },
  }
}

/**
 * Runs a step, telling the ledger which part of it runs; returns the times at which a forward pass was over. A loss that waits for the
 * model's answer is told zeros: its sizes are the same.
 */
async function stepInPhases(session: Session, ledger: MemoryLedger): Promise<number[]> {
  const { batches, optimizer } = session
  const forwardEnds: number[] = []
  const over = <T>(result: T): T => {
    ledger.phase = 'backward'
    forwardEnds.push(ledger.time)
    return result
  }
  const watched = (batch: Batch): Batch => ({
    nonFinite: () => batch.nonFinite(),
    loss(learner, key) {
      ledger.phase = 'forward'
      const loss = batch.loss(learner, key)
      if (!('answered' in loss)) return over(loss)
      return { answered: loss.answered.then(rest => () => over(rest())) }
    },
  })
  const ofStep = batches.ofStep.bind(batches)
  const step = optimizer.step.bind(optimizer)
  // The first step is unlike those that follow: there is no report of a step before it to free.
  await trainStep(session, 0)
  optimizer.step = options => {
    ledger.phase = 'optimizer'
    step(options)
  }
  batches.ofStep = function* (at) {
    for (const { batch, key } of ofStep(at)) yield { batch: watched(batch), key }
  }
  ledger.phase = 'data'
  await trainStep(session, 0)
  return forwardEnds
}

/** What the end of a run draws, in as few steps as a sampler takes: the others need no more memory. */
async function drawBriefly(session: Session): Promise<void> {
  const { config, task, ema, keys } = session
  const brief = {
    ...config,
    flow: { ...config.flow, sample_steps: 1 },
    diffusion: { ...config.diffusion, sample_steps: Math.min(2, config.diffusion.steps) },
  }
  await ema.whileApplied(() => task.draw(session, brief, keys.draw, {}))
}
