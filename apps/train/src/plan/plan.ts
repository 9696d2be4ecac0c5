// ditkit plan RECIPE [key=value …] [--memory 8GB] [--json FILE]
//
// Says what a configuration needs before it is run, whether it fits, and which setting would free how much.

import { memoryOfProcess } from '@ditkit/backend-cpu'
import { writeFileAtomic } from '@ditkit/checkpoint/node'
import { loadConfig } from '../config/load'
import type { Config } from '../config/schema'
import { UserError } from '../errors'
import { parseMemory } from './memory-size'
import { type Prediction, predict } from './predict'
import { type StandIn, standInFor } from './stand-in'
import { printPlan } from './table'

export interface PlanRequest {
  readonly recipe: string
  readonly overrides: readonly string[]
  /** `8GB` and the like; default: what this machine or its container has. */
  readonly memory?: string | undefined
  /** Also write the figures here. */
  readonly json?: string | undefined
}

export interface Plan {
  readonly recipe: string
  readonly overrides: readonly string[]
  /** Images per optimizer step, and per forward pass. */
  readonly batch: number
  readonly microBatch: number
  readonly prediction: Prediction
  /** Bytes. */
  readonly memory: { readonly available: number; readonly needed: number; readonly fits: boolean }
  readonly alternatives: readonly Alternative[]
}

/** Other settings, and what they would change. */
export interface Alternative {
  readonly overrides: readonly string[]
  readonly prediction: Prediction
  readonly needed: number
  readonly fits: boolean
}

export async function plan(request: PlanRequest): Promise<Plan> {
  const available = request.memory === undefined ? memoryOfProcess() : parseMemory(request.memory)
  const { name, config } = loadConfig(request.recipe, request.overrides)
  if (config.device !== 'cpu') throw new UserError(`plan is about device=cpu, not device=${config.device}`)
  const data = await standInFor(config)
  const judge = async (settings: Config, images: StandIn) => {
    const prediction = await predict(settings, images)
    const needed = neededBy(prediction)
    return { prediction, needed, fits: fits(prediction, needed, available) }
  }
  const { prediction, needed, fits: fitting } = await judge(config, data)
  const alternatives: Alternative[] = []
  for (const overrides of otherSettings(config, prediction)) {
    const { config: other } = loadConfig(request.recipe, [...request.overrides, ...overrides])
    alternatives.push({ overrides, ...(await judge(other, data)) })
  }
  const { batch, accumulate } = config.train
  const result: Plan = {
    recipe: name,
    overrides: request.overrides,
    batch,
    microBatch: batch / accumulate,
    prediction,
    memory: { available, needed, fits: fitting },
    alternatives,
  }
  printPlan(result)
  if (request.json) await writeFileAtomic(request.json, `${JSON.stringify(result, null, 2)}\n`)
  return result
}

/** The least a process can do with: the allocator gives back what it keeps for reuse before it fails. */
function neededBy({ process: { leastTensors, checkpoint, dataset, program } }: Prediction): number {
  return leastTensors + checkpoint + dataset + program
}

/** cpu() takes at most 90 % of the memory for tensors. */
const fits = ({ process }: Prediction, needed: number, available: number) =>
  needed <= available && process.leastTensors <= 0.9 * available

/** What may be changed for less memory: first what changes no result, then what does. */
function otherSettings({ train, sample }: Config, { peak, peaks }: Prediction): string[][] {
  const recompute = train.recompute ? [] : ['train.recompute=true']
  const accumulate = [2, 4, 8, 16]
    .map(times => train.accumulate * times)
    .filter(count => train.batch % count === 0)
    .map(count => `train.accumulate=${count}`)
  const halfBatch = train.batch % (2 * train.accumulate) === 0 ? [`train.batch=${train.batch / 2}`] : []
  return [
    recompute,
    ...accumulate.slice(0, 2).map(setting => [setting]),
    recompute.length > 0 && accumulate.length > 0 ? [...recompute, accumulate[0]] : [],
    recompute.length > 0 && accumulate.length > 2 ? [...recompute, accumulate[accumulate.length - 1]] : [],
    halfBatch,
    peaks.drawing === peak && sample.batch > 1 ? [`sample.batch=${Math.ceil(sample.batch / 4)}`] : [],
  ].filter(settings => settings.length > 0)
}
