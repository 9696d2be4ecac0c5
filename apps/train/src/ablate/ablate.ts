// ditkit ablate detect [key=value …] [--steps 400] [--seeds 3] [--out FOLDER] [--overwrite]
//
// Trains the recipe `detect` without a bias, with a dense window, and with a Gaussian that is dense or factored, its scale learned or frozen,
// with several seeds each; writes one table and one plot of what they are worth.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '@ditkit/checkpoint/node'
import type { DetectScene } from '../detect/scenes'
import type { Score } from '../detect/score'
import { scoreDetector, scoringScenes } from '../evaluate/boxes'
import { openTrained } from '../model/trained'
import { packageVersion } from '../package-files'
import { diskError } from '../run/atomic-folder'
import { RunFolder } from '../run/folder'
import { type MetricsRow, readMetrics } from '../run/metrics'
import { train } from '../train'
import { ablationPng } from './plot'
import { type AblatedRun, type AblatedVariant, markdownTable, summarizeVariant } from './table'
import { VARIANTS, type Variant } from './variants'

export interface AblateRequest {
  readonly overrides: readonly string[]
  readonly out: string
  /** Of each run. */
  readonly steps: number
  /** 0 … seeds − 1. */
  readonly seeds: number
  /** Held-out scenes that the final weights are scored on. */
  readonly scenes: number
  /** Start again where runs are there; otherwise finished ones are kept, and others go on. */
  readonly overwrite?: boolean | undefined
}

const RECIPE = 'detect'

/** Resolves to undefined when Ctrl-C ended it early; the same command goes on. */
export async function ablate(request: AblateRequest): Promise<AblatedVariant[] | undefined> {
  const { out, seeds } = request
  const folder = join(out, 'output', 'ablation')
  const score = scorer(request.scenes)
  const variants: AblatedVariant[] = []
  const curves: { name: string; runs: MetricsRow[][] }[] = []
  for (const [v, variant] of VARIANTS.entries()) {
    const runs: AblatedRun[] = []
    const rows: MetricsRow[][] = []
    for (let seed = 0; seed < seeds; seed++) {
      console.log(`\n${variant.name}, seed ${seed} (run ${v * seeds + seed + 1} of ${VARIANTS.length * seeds})`)
      const run = new RunFolder(join(folder, 'runs', `${variant.name.replace(/\W+/g, '-')}-${seed}`), RECIPE)
      if (!(await trainVariant(request, variant, seed, run))) return undefined
      rows.push(readMetrics(run.metrics('training_metrics.csv')))
      runs.push({ seed, figures: { ...(await score(run)), ...biasFigures(rows.at(-1)!) } })
    }
    variants.push(summarizeVariant(variant.name, variant.overrides, runs))
    curves.push({ name: variant.name, runs: rows })
  }
  await write(folder, request, variants, await ablationPng(curves))
  return variants
}

async function trainVariant(
  { overrides, steps, overwrite }: AblateRequest,
  variant: Variant,
  seed: number,
  run: RunFolder,
): Promise<boolean> {
  const found = run.occupied().length > 0
  return train({
    recipe: RECIPE,
    overrides: [
      `train.steps=${steps}`,
      `train.warmup=${Math.floor(steps / 8)}`,
      `train.validate_every=${Math.max(1, Math.floor(steps / 10))}`,
      ...overrides,
      ...variant.overrides,
      `seed=${seed}`,
    ],
    out: run.root,
    mode: overwrite ? 'overwrite' : found ? 'resume' : 'new',
  })
}

/** Scores the final weights of runs, all on the same scenes. */
function scorer(count: number): (run: RunFolder) => Promise<Score> {
  let scenes: DetectScene[] | undefined
  return async run => {
    const trained = await openTrained(RECIPE, run.root, [])
    try {
      if (trained.kind !== 'boxes') throw new Error(`${trained.path} is no detector`)
      scenes ??= scoringScenes(trained.data, count)
      return (await scoreDetector(trained, scenes)).right
    } finally {
      trained.device.dispose()
    }
  }
}

/** Scale and weights at the last step. */
function biasFigures(rows: readonly MetricsRow[]): Record<string, number> {
  const { bias_scale, lidar_weight, camera_weight } = rows.at(-1)?.figures ?? {}
  return bias_scale === undefined ? {} : { bias_scale, lidar_weight, camera_weight }
}

async function write(
  folder: string,
  { steps, seeds, scenes, overrides }: AblateRequest,
  variants: readonly AblatedVariant[],
  png: Buffer,
): Promise<void> {
  const table = markdownTable(variants)
  const note = `${RECIPE}, ${steps} steps, ${seeds} seeds: means over seeds ± their standard deviations, on ${scenes} scenes of held-out objects.`
  const result = { recipe: RECIPE, version: packageVersion(), steps, seeds, scenes, overrides, variants }
  try {
    mkdirSync(folder, { recursive: true })
    await writeFileAtomic(join(folder, 'ablation.json'), `${JSON.stringify(result, null, 2)}\n`)
    await writeFileAtomic(join(folder, 'ablation.md'), `${note}\n\n${table}`)
    await writeFileAtomic(join(folder, 'ablation.png'), png)
  } catch (error) {
    throw diskError(error, folder)
  }
  console.log(`\n${note}\n\n${table}\nWritten to ${folder}: ablation.json, ablation.md, ablation.png`)
}
