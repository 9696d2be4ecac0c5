// Finding and loading weights: a model file or checkpoint folder of ditkit's, safetensors, or a PyTorch file.

import { statSync } from 'node:fs'
import { join } from 'node:path'
import { openPt, openSafetensors } from '@ditkit/checkpoint/node'
import { pickDiTWeights } from '@ditkit/dit-model'
import { type Module, matchesName, type StateSource } from '@ditkit/nn'
import { messageOf, UserError } from '../errors'
import type { ModelCard } from './card'
import { readCard } from './card'

export interface OpenWeights extends AsyncDisposable {
  readonly path: string
  readonly tensors: StateSource
  /** What the file says about its model, when ditkit wrote it. */
  readonly card: ModelCard | undefined
}

/** Opens weights without reading them. A checkpoint folder gives its averaged ones. */
export async function openWeights(path: string): Promise<OpenWeights> {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat) throw new UserError(`weights ${path} do not exist`)
  const file = stat.isDirectory() ? join(path, 'ema.safetensors') : path
  if (/\.(pt|pth|ckpt)$/.test(file)) {
    const opened = await openPt(file)
    const tensors = pickDiTWeights(opened.value, { prefer: 'ema' })
    return { path: file, tensors, card: undefined, [Symbol.asyncDispose]: () => opened.close() }
  }
  const opened = await openSafetensors(file)
  return {
    path: file,
    tensors: opened.tensors(),
    card: readCard(opened.metadata, file),
    [Symbol.asyncDispose]: () => opened.close(),
  }
}

/** Loads all weights, or all but those whose names fit `skip`; errors name the file and what does not fit. */
export async function loadWeights(model: Module, weights: OpenWeights, skip: readonly string[] = []): Promise<void> {
  const entries = weights.tensors instanceof Map ? [...weights.tensors] : Object.entries(weights.tensors)
  const skipped = (name: string) => skip.some(pattern => matchesName(pattern, name))
  const wanted = new Map(entries.filter(([name]) => !skipped(name)))
  try {
    const { missing, unexpected } = await model.loadStateDict(wanted, { strict: skip.length === 0 })
    const lost = missing.filter(name => !skipped(name))
    if (lost.length > 0 || unexpected.length > 0) {
      throw new Error(`missing: ${lost.join(', ') || 'none'}; unexpected: ${unexpected.join(', ') || 'none'}`)
    }
  } catch (error) {
    throw new UserError(`weights ${weights.path} do not fit this model: ${messageOf(error)}`)
  }
}
