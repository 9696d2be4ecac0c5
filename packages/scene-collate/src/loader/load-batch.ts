// Makes one batch: reads its scenes, checks and changes each, collates them.

import { type RngKey, rngKey } from '@ditkit/core'
import { augmentScene } from '../augment'
import type { BatchMemory } from '../batch-memory'
import { checkScene } from '../check-scene'
import { collateChecked } from '../collate'
import { limitPoints } from '../limit/limit-points'
import { normaliseScene } from '../normalise'
import type { Scene } from '../scene'
import { SceneError } from '../scene-error'
import { applyTransform } from '../transform'
import type { BatchJob, Dataset, LoadedBatch, SceneSteps, SkippedScene } from './dataset'

/**
 * The batch of a job. What is random in scene i depends on (seed, i, epoch) alone. Throws a SceneError that names the scene that cannot be read or is bad, unless the job
 * skips such. `onScene` is told what is about to be read.
 */
export async function loadBatch(
  dataset: Dataset,
  job: BatchJob,
  memory?: BatchMemory,
  onScene?: (label: string) => void,
): Promise<LoadedBatch> {
  const { seed, epoch, steps } = job
  const scenes: Scene[] = []
  const skipped: SkippedScene[] = []
  for (const index of job.indices) {
    const label = dataset.nameOf ? `scene ${JSON.stringify(dataset.nameOf(index))}` : `scene ${index}`
    onScene?.(label)
    try {
      const scene = await readScene(dataset, index, label)
      checkScene(scene, index, steps.collate)
      scenes.push(changed(scene, steps, () => rngKey(seed).foldIn(index).foldIn(epoch).split(2)))
    } catch (error) {
      if (!steps.skipBad || !(error instanceof SceneError)) throw error
      skipped.push({ index, reason: error.message })
    }
  }
  return { ...(scenes.length > 0 && { batch: collateChecked(scenes, steps.collate ?? {}, memory) }), skipped }
}

async function readScene(dataset: Dataset, index: number, label: string): Promise<Scene> {
  try {
    return await dataset.get(index)
  } catch (error) {
    if (error instanceof SceneError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new SceneError(label, undefined, `cannot be read: ${reason}`, { cause: error })
  }
}

/** `keys` gives one for limiting and one for augmenting. */
function changed(scene: Scene, { maxPoints, normalise, augment }: SceneSteps, keys: () => RngKey[]): Scene {
  let result = scene
  if (maxPoints) result = limitPoints(result, maxPoints, keys()[0])
  if (normalise)
    result = 'rotation' in normalise ? applyTransform(result, normalise) : normaliseScene(result, normalise)
  if (augment) result = augmentScene(result, augment, keys()[1])
  return result
}
