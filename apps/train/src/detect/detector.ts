// Scenes to a CrossModalDecoder and what it says back to the host.

import { type Device, noGrad, scopeAsync } from '@ditkit/core'
import {
  type CrossModalDecoder,
  type CrossModalInputs,
  type CrossModalOutputs,
  normalizedProjection,
} from '@ditkit/dit-model'
import type { Progress } from '../report/progress'
import { type Interrupt, Interrupted } from '../run/interrupt'
import { CELL_CHANNELS } from './bird-eye'
import { FIELD } from './box'
import { camerasAround, IMAGE, PATCH_CHANNELS, PATCH_SHARE, projectionOf } from './camera'
import { type HostPredictions, predictedBy } from './criterion'
import { type DenoisingQueries, sceneMasks } from './denoising'
import type { Predicted } from './match'
import type { DetectScene } from './scenes'

const { half, height } = FIELD
const FIELD_BOX = { low: [-half, -half, 0], high: [half, half, height] } as const

/** What the model is given of B scenes, on the device. */
export function inputsOf(
  scenes: readonly DetectScene[],
  model: CrossModalDecoder,
  device: Device,
  denoising?: DenoisingQueries & { groups: number },
): CrossModalInputs {
  const count = scenes.length
  const tokens = (of: (scene: DetectScene) => Float32Array, channels: number) => {
    const parts = scenes.map(of)
    const length = parts[0].length
    const joined = new Float32Array(count * length)
    for (const [i, part] of parts.entries()) joined.set(part, i * length)
    return device.tensor(joined, [count, length / channels, channels])
  }
  /** Cells and patches without a point take no part: those whose number `share` is 0. */
  const seen = (of: (scene: DetectScene) => Float32Array, channels: number, share: number) => {
    const each = scenes.map(of)
    const length = each[0].length / channels
    const mask = Uint8Array.from({ length: count * length }, (_, i) =>
      each[Math.floor(i / length)][(i % length) * channels + share] > 0 ? 1 : 0,
    )
    return device.tensor(mask, [count, length], { dtype: 'bool' })
  }
  const { queries, cameras } = model.config
  const views = cameras?.count ?? 0
  const projection = camerasAround(views).flatMap(camera => [
    ...normalizedProjection(projectionOf(camera), FIELD_BOX, IMAGE),
  ])
  const projections = scenes.flatMap(() => projection)
  const inputs: CrossModalInputs = {
    lidar: tokens(scene => scene.cells, CELL_CHANNELS),
    cameras: tokens(scene => scene.patches, PATCH_CHANNELS),
    lidarMask: seen(scene => scene.cells, CELL_CHANNELS, 0),
    cameraMask: seen(scene => scene.patches, PATCH_CHANNELS, PATCH_SHARE),
    cameraProjection: device.tensor(Float32Array.from(projections), [count, views, 3, 4]),
  }
  if (!denoising) return inputs
  const { references, slots, groups } = denoising
  const added = slots[0].length
  const mask = sceneMasks(queries, { groups, slots: added / groups }, slots)
  return {
    ...inputs,
    dnQueries: device.tensor(references, [count, added, 3]),
    dnMask: device.tensor(mask, [count, added + queries, added + queries], { dtype: 'bool' }),
  }
}

export async function readPredictions({ logits, boxes }: CrossModalOutputs): Promise<HostPredictions> {
  const [readLogits, readBoxes] = await Promise.all([logits.data(), boxes.data()])
  return { shape: logits.shape, logits: readLogits as Float32Array, boxes: readBoxes as Float32Array }
}

export interface DetectOptions {
  readonly device: Device
  readonly model: CrossModalDecoder
  readonly scenes: readonly DetectScene[]
  /** Scenes per forward pass. */
  readonly batch: number
  readonly progress?: Progress
  readonly interrupt?: Interrupt
}

/** What the last layer says of each scene. */
export async function detect({
  device,
  model,
  scenes,
  batch,
  progress,
  interrupt,
}: DetectOptions): Promise<Predicted[]> {
  const found: Predicted[] = []
  model.eval()
  try {
    for (let start = 0; start < scenes.length; start += batch) {
      if (interrupt?.requested) throw new Interrupted('stopped while detecting')
      const part = scenes.slice(start, start + batch)
      const predictions = await scopeAsync(s =>
        readPredictions(s.run(() => noGrad(() => model.forward(inputsOf(part, model, device))))),
      )
      const last = predictions.shape[0] - 1
      for (const i of part.keys()) found.push(predictedBy(predictions, last, i, model.config.queries))
      progress?.update(Math.min(start + batch, scenes.length))
    }
  } finally {
    model.train()
  }
  return found
}
