// Scores a detector on scenes of objects that training never saw, beside the same detector shown another scene.

import { rngKey } from '@ditkit/core'
import type { TabletopConfig } from '../config/schema'
import { detect } from '../detect/detector'
import type { DetectScene } from '../detect/scenes'
import { meanScores, SCORES, type Score, scoreScene } from '../detect/score'
import type { TrainedDetector } from '../model/trained'
import { startProgress } from '../report/progress'
import { heldOutScenes } from '../task/detect'
import { writeResult } from './write-result'

export const SCENES = 256
const KEY = rngKey(31_338)

/** The first `count` of the scenes that detectors are scored on. */
export function scoringScenes(data: TabletopConfig, count: number): DetectScene[] {
  const held = heldOutScenes(data, KEY)
  return Array.from({ length: count }, (_, i) => held.scene(i))
}

/** What a detector finds in each scene, and what it would have found in the next one. */
export async function scoreDetector(
  trained: TrainedDetector,
  scenes: readonly DetectScene[],
): Promise<{ right: Score; wrong: Score }> {
  const progress = startProgress('Finding held-out objects', scenes.length, 'scenes')
  const found = await detect({ ...trained, scenes, batch: trained.config.train.batch, progress })
  progress.stop()
  const scored = (shift: number) =>
    meanScores(scenes.map(({ boxes }, i) => scoreScene(found[(i + shift) % scenes.length], boxes)))
  return { right: scored(0), wrong: scored(1) }
}

export async function evaluateBoxes(trained: TrainedDetector, out: string): Promise<void> {
  const scenes = scoringScenes(trained.data, SCENES)
  const { right, wrong } = await scoreDetector(trained, scenes)
  const objects = scenes.reduce((sum, { boxes }) => sum + boxes.length, 0)
  const result = { run: trained.run, model: trained.path, scenes: SCENES, objects, ...right, wrong_scene: wrong }
  print(right, wrong)
  await writeResult(out, result)
}

function print(right: Score, wrong: Score): void {
  const shown = (name: (typeof SCORES)[number], score: Score) =>
    name === 'centre_error' ? `${(100 * score[name]).toFixed(1)} cm` : `${(100 * score[name]).toFixed(1)} %`
  console.log(`\n${''.padEnd(16)}${'its scene'.padStart(12)}${'another'.padStart(12)}`)
  for (const name of SCORES)
    console.log(`${name.padEnd(16)}${shown(name, right).padStart(12)}${shown(name, wrong).padStart(12)}`)
  console.log()
}
