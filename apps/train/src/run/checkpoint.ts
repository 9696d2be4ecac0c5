// Checkpoints of a run: checkpoints/RUN/step-000500 with weights, averaged weights, optimizer moments and state.json,
// which carries the checksums of the others. Written whole or not at all; a resumed run continues bit for bit.

import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { openSafetensors, type WrittenFile, writeFileAtomic, writeSafetensors } from '@ditkit/checkpoint/node'
import type { AdamW, EMA, Module, StateDict } from '@ditkit/nn'
import { checkConfig } from '../config/load'
import type { Config } from '../config/schema'
import { messageOf, UserError } from '../errors'
import { cardMetadata, type ModelCard } from '../model/card'
import { packageVersion } from '../package-files'
import { writeFolderAtomically } from './atomic-folder'

/** What training changes. */
export interface TrainingState {
  readonly model: Module
  readonly ema: EMA
  readonly optimizer: AdamW
}

/** state.json, without what describes its own files. */
export interface CheckpointInfo {
  readonly card: ModelCard
  readonly epoch: number
  /** Hash of the training data. */
  readonly dataset: string
  /** Name and description of the device: with another one a resumed run is not bit for bit the same. */
  readonly device: { readonly name: string; readonly description: string }
}

interface StateFile extends CheckpointInfo {
  readonly format: 1
  readonly version: string
  readonly optimizerStep: number
  readonly emaUpdates: number
  readonly files: Readonly<Record<string, WrittenFile>>
}

export interface FoundCheckpoint {
  readonly path: string
  readonly info: CheckpointInfo
  /** Checks every file against its checksum, then loads them. */
  load(state: TrainingState): Promise<void>
}

/** Writes the checkpoint of `info.card.step` and removes all but the newest `keep`. Returns its path. */
export async function saveCheckpoint(
  folder: string,
  state: TrainingState,
  info: CheckpointInfo,
  keep: number,
): Promise<string> {
  const path = join(folder, stepName(info.card.step))
  const metadata = cardMetadata(info.card)
  const [weights, averaged, moments] = await Promise.all([
    state.model.stateDict(),
    state.ema.stateDict(),
    state.optimizer.stateDict(),
  ])
  checkFinite(weights, info.card.step)
  await writeFolderAtomically(path, async temporary => {
    const files = {
      'model.safetensors': await writeSafetensors(join(temporary, 'model.safetensors'), weights, { metadata }),
      'ema.safetensors': await writeSafetensors(join(temporary, 'ema.safetensors'), averaged, { metadata }),
      'optimizer.safetensors': await writeSafetensors(join(temporary, 'optimizer.safetensors'), moments.tensors),
    }
    const content: StateFile = {
      format: 1,
      version: packageVersion(),
      ...info,
      optimizerStep: moments.step,
      emaUpdates: state.ema.updates,
      files,
    }
    await writeFileAtomic(join(temporary, 'state.json'), `${JSON.stringify(content, null, 2)}\n`)
  })
  for (const old of listCheckpoints(folder).slice(0, -keep)) rmSync(join(folder, old), { recursive: true })
  return path
}

/** A step can overflow although its gradient was finite; such weights must not take the place of good ones. */
function checkFinite(weights: StateDict, step: number): void {
  for (const [name, { data }] of Object.entries(weights)) {
    const bad = data.find((value: number) => !Number.isFinite(value))
    if (bad !== undefined) {
      throw new UserError(
        `weight ${name} holds ${bad} after step ${step}, which is not saved; a smaller train.learning_rate helps`,
      )
    }
  }
}

/** The newest checkpoint of a run; undefined when there is none yet. */
export function findCheckpoint(folder: string): FoundCheckpoint | undefined {
  const newest = listCheckpoints(folder).at(-1)
  return newest === undefined ? undefined : openCheckpoint(join(folder, newest))
}

/** Path of the newest checkpoint, unread. */
export function newestCheckpoint(folder: string): string | undefined {
  const newest = listCheckpoints(folder).at(-1)
  return newest && join(folder, newest)
}

function openCheckpoint(path: string): FoundCheckpoint {
  const stateFile = join(path, 'state.json')
  let state: StateFile
  try {
    state = JSON.parse(readFileSync(stateFile, 'utf8'))
  } catch (error) {
    throw damaged(path, `state.json cannot be read: ${messageOf(error)}`)
  }
  if (state.format !== 1) {
    throw new UserError(`checkpoint ${path} has format ${state.format}, this version of ditkit reads format 1`)
  }
  const config: Config = checkConfig(state.card.config, stateFile)
  return {
    path,
    info: { ...state, card: { ...state.card, config } },
    load: async training => {
      for (const [name, expected] of Object.entries(state.files)) await verify(path, name, expected)
      await withTensors(path, 'model', async tensors => void (await training.model.loadStateDict(tensors)))
      await withTensors(path, 'ema', tensors => training.ema.loadStateDict(tensors, { updates: state.emaUpdates }))
      await withTensors(path, 'optimizer', tensors =>
        training.optimizer.loadStateDict({ step: state.optimizerStep, tensors }),
      )
    },
  }
}

type Tensors = ReturnType<Awaited<ReturnType<typeof openSafetensors>>['tensors']>

async function withTensors(path: string, name: string, use: (tensors: Tensors) => Promise<void>): Promise<void> {
  await using file = await openSafetensors(join(path, `${name}.safetensors`))
  await use(file.tensors())
}

async function verify(path: string, name: string, expected: WrittenFile): Promise<void> {
  const file = join(path, name)
  if (!existsSync(file)) throw damaged(path, `${name} is missing`)
  const { size } = statSync(file)
  if (size !== expected.bytes) throw damaged(path, `${name} has ${size} bytes, expected ${expected.bytes}`)
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  if (hash.digest('hex') !== expected.sha256) throw damaged(path, `${name} does not match its checksum`)
}

function damaged(path: string, what: string): UserError {
  return new UserError(`checkpoint ${path} is damaged: ${what}; delete its folder to go on from the one before it`)
}

/** Folder names, oldest first. */
function listCheckpoints(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter(name => /^step-\d{6,}$/.test(name))
    .sort((a, b) => stepOf(a) - stepOf(b))
}

const stepName = (step: number) => `step-${String(step).padStart(6, '0')}`
const stepOf = (name: string) => Number(name.slice('step-'.length))
