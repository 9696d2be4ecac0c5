// Everything a training run works with, made from its configuration, and its weights: fresh, from init_from, or from
// the run's own checkpoint.

import { type Device, type RngKey, rngKey } from '@ditkit/core'
import { AdamW, EMA, type Module, type Schedule, skipInit, warmupConstant, warmupCosine } from '@ditkit/nn'
import type { Config } from '../config/schema'
import { messageOf, UserError } from '../errors'
import { loadWeights, openWeights } from '../model/weights'
import { makeObjective, type Objective } from '../objective/objective'
import type { TrainingState } from '../run/checkpoint'
import type { Task } from '../task/task'
import { TrainingBatches } from './batches'

export interface Session extends TrainingState {
  readonly config: Config
  readonly task: Task
  readonly device: Device
  readonly objective: Objective
  readonly batches: TrainingBatches
  readonly learningRate: Schedule
  readonly keys: RunKeys
}

/** The random streams of a run; adding one at the end changes none of the others. */
export interface RunKeys {
  readonly init: RngKey
  readonly data: RngKey
  readonly validation: RngKey
  readonly draw: RngKey
}

export function runKeys(seed: number): RunKeys {
  const [init, data, validation, draw] = rngKey(seed).split(4)
  return { init, data, validation, draw }
}

export async function openSession(
  device: Device,
  config: Config,
  task: Task,
  /** `draw: false` leaves the first weights at zero: drawing those of a large model takes minutes. */
  first: { draw: boolean } = { draw: true },
): Promise<Session> {
  const keys = runKeys(config.seed)
  const build = () => task.buildModel(device, keys.init, config)
  const model = first.draw ? build() : skipInit(build)
  if (config.init_from !== undefined) {
    await using weights = await openWeights(config.init_from)
    await loadWeights(model, weights, config.init_skip)
  }
  freeze(model, config.freeze)
  const { betas, ema: decay, weight_decay, clip } = config.train
  const ema = new EMA(model, { decay, warmup: true })
  const optimizer = new AdamW(model, { betas, weightDecay: weight_decay, maxGradNorm: clip, ema })
  return {
    config,
    task,
    device,
    model,
    ema,
    optimizer,
    objective: makeObjective(config),
    batches: new TrainingBatches(task.train, config, keys.data),
    learningRate: schedule(config.train),
    keys,
  }
}

function freeze(model: Module, patterns: readonly string[]): void {
  for (const pattern of patterns) {
    try {
      model.freeze(pattern)
    } catch (error) {
      throw new UserError(`freeze: ${messageOf(error)}`)
    }
  }
  if (!model.parameters().some(tensor => tensor.requiresGrad)) {
    throw new UserError(`freeze=${JSON.stringify(patterns)} leaves no weight to train`)
  }
}

function schedule({ decay, learning_rate: lr, warmup: warmupSteps, steps: totalSteps }: Config['train']): Schedule {
  if (decay === 'constant') return warmupConstant({ lr, warmupSteps })
  if (warmupSteps >= totalSteps) {
    throw new UserError(`train.warmup is ${warmupSteps}, but train.steps is ${totalSteps}; warm up for fewer steps`)
  }
  return warmupCosine({ lr, warmupSteps, totalSteps })
}
