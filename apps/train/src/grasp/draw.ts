// Draws grasps for scenes with a SceneDiT, in batches that fit memory; which batch a scene falls into changes neither its noise nor its anchors.

import { type Device, noGrad, normal, type RngKey, scope, slice } from '@ditkit/core'
import { limitedScale, type SceneDiT } from '@ditkit/dit-model'
import { collateScenes, type Scene } from '@ditkit/scene-collate'
import type { Config } from '../config/schema'
import type { Objective, Predict } from '../objective/objective'
import type { Progress } from '../report/progress'
import { type Interrupt, Interrupted } from '../run/interrupt'
import { drawAnchors } from './draw-anchors'
import { conditionOf, posesFromModel, toModelScene } from './model-scene'
import { POSE_SIZE } from './pose'

export interface DrawGraspsOptions {
  readonly device: Device
  readonly model: SceneDiT
  readonly objective: Objective
  readonly config: Config
  /** Points and normals, metres, z up; the table, where there is one, at z = 0. */
  readonly scenes: readonly Scene[]
  /** [scenes, E]: what to grasp in each; left out, whatever is there. */
  readonly texts?: Float32Array | undefined
  /** [scenes, E]: what guidance leads away from, in the same scene; left out, from no scene and no text. */
  readonly negative?: Float32Array | undefined
  /** Poses per scene. */
  readonly count: number
  readonly key: RngKey
  readonly progress?: Progress
  readonly interrupt?: Interrupt
}

/** For each scene its poses [count, 10], as `writePose` has them, in the scene's coordinates. */
export async function drawGrasps(options: DrawGraspsOptions): Promise<Float32Array[]> {
  const { device, model, objective, config, scenes, texts, negative, count, key, progress, interrupt } = options
  const { batch, guidance, guidance_interval: interval, guidance_rescale: rescale } = config.sample
  const { anchor_temperature: temperature } = config.sample
  const [noiseKey, stepKey, anchorKey] = key.split(3)
  const drawn: Float32Array[] = []
  const noise = normal(device, [scenes.length, count, POSE_SIZE], noiseKey)
  model.eval()
  try {
    for (let start = 0; start < scenes.length; start += batch) {
      if (interrupt?.requested) throw new Interrupted('stopped while drawing')
      const end = Math.min(start + batch, scenes.length)
      // Grasps that a scene may carry, and what of it is named, are not the model's to see.
      const seen = scenes
        .slice(start, end)
        .map(({ name, points, fields }) => toModelScene({ name, points, fields: { normals: fields!.normals } }))
      const collated = collateScenes(seen)
      const encode = (texts: Float32Array | undefined) => {
        const width = (texts?.length ?? 0) / scenes.length
        const own = texts?.subarray(start * width, end * width)
        return scope(() => noGrad(() => model.encode(conditionOf(collated, own, device))))
      }
      const condition = encode(texts)
      // Poses that are given from the scene have to see it: without a negative text, no text is what guidance leads away from.
      const against = negative || (model.proposal && texts && guidance !== 1) ? encode(negative) : undefined
      const part = slice(noise, 0, start, end)
      const told = {
        condition: { encoded: condition, named: texts !== undefined },
        against: against && { encoded: against, named: negative !== undefined },
      }
      const anchored =
        model.proposal &&
        (await drawAnchors(model, collated, { ...told, guidance, temperature, count, first: start }, anchorKey))
      const predict: Predict = (x, t) => {
        const unguided = anchored && !against
        const scale = unguided
          ? 1
          : limitedScale(guidance, interval, objective.progress(typeof t === 'number' ? t : t[0]))
        return model.forwardWithGuidance(x, t, condition, scale, { rescale, anchors: anchored?.anchors, against })
      }
      const poses = await objective.draw(predict, { noise: part, key: stepKey.foldIn(start) })
      const values = (await poses.data()) as Float32Array
      for (const [i, transform] of collated.transforms.entries()) {
        const own = values.slice(i * count * POSE_SIZE, (i + 1) * count * POSE_SIZE)
        if (anchored) for (let g = 0; g < count; g++) anchored.frames[i].move(own, g, g, 'surface')
        drawn.push(posesFromModel(own, transform))
      }
      for (const tensor of [poses, part, anchored?.anchors.features]) tensor?.dispose()
      for (const parts of [condition, against, anchored?.anchors.frames])
        for (const tensor of Object.values(parts ?? {})) if (typeof tensor === 'object') tensor.dispose()
      progress?.update(end)
    }
  } finally {
    noise.dispose()
    model.train()
  }
  return drawn
}
