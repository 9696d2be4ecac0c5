// A trained model, found by the name of its run or by path, with its averaged weights on a device.

import { existsSync } from 'node:fs'
import { basename, extname } from 'node:path'
import { type Device, type RngKey, rngKey } from '@ditkit/core'
import type { CrossModalDecoder, DiT, SceneDiT } from '@ditkit/dit-model'
import { applyOverride, checkConfig } from '../config/load'
import type { Config, TabletopConfig } from '../config/schema'
import { openDevice } from '../device'
import { UserError } from '../errors'
import { newestCheckpoint } from '../run/checkpoint'
import { RunFolder } from '../run/folder'
import { buildModel, type ImageFormat } from './build'
import { buildDetector } from './build-detector'
import { buildSceneModel } from './build-scene'
import { loadWeights, openWeights } from './weights'

interface TrainedModel {
  readonly device: Device
  /** Name of the run. */
  readonly run: string
  /** The settings recorded with the weights, with the overrides applied. */
  readonly config: Config
  readonly path: string
  /** Whether an override changed a setting. */
  readonly changed: boolean
}

export interface TrainedImages extends TrainedModel {
  readonly kind: 'images'
  readonly model: DiT
  readonly format: ImageFormat
}

export interface TrainedGrasps extends TrainedModel {
  readonly kind: 'grasps'
  readonly model: SceneDiT
}

export interface TrainedDetector extends TrainedModel {
  readonly kind: 'boxes'
  readonly model: CrossModalDecoder
  readonly data: TabletopConfig
}

export type Trained = TrainedImages | TrainedGrasps | TrainedDetector

/** Opens the model of a run, or of a file or checkpoint folder; overrides change how it draws. The caller disposes the device. */
export async function openTrained(name: string, out: string, overrides: readonly string[]): Promise<Trained> {
  const path = findWeights(name, out)
  await using weights = await openWeights(path)
  if (!weights.card) {
    throw new UserError(
      `${weights.path} does not say what model it holds: it was not written by ditkit train (use init_from= to start a run from it)`,
    )
  }
  const { card } = weights
  const tree = structuredClone(card.config) as Record<string, unknown>
  for (const override of overrides) applyOverride(tree, override)
  const config = checkConfig(tree, 'the command line')
  const device = await openDevice(config)
  const changed = JSON.stringify(config) !== JSON.stringify(card.config)
  const shared = { device, run: card.run, config, path: weights.path, changed }
  const key: RngKey = rngKey(0)
  const trained = build()
  await loadWeights(trained.model, weights)
  return trained

  function build(): Trained {
    const { format } = card
    if ('poses' in format) return { ...shared, kind: 'grasps', model: buildSceneModel(device, key, config) }
    if (!('boxes' in format))
      return { ...shared, kind: 'images', model: buildModel(device, key, config, format), format }
    const { data } = config
    if (data.kind !== 'tabletop') throw new UserError(`${path} finds boxes, but its data are ${data.kind}`)
    return { ...shared, kind: 'boxes', model: buildDetector(device, key, config, data), data }
  }
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
