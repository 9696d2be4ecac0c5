// Where a run writes, and whether it may: another run's output is never touched without being told.

import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type Config, FREE_ON_RESUME } from '../config/schema'
import { UserError } from '../errors'
import { removeLeftovers } from './atomic-folder'

/** What to do with an output folder that is not empty: refuse, continue its run, or replace it. */
export type RunMode = 'new' | 'resume' | 'overwrite'

export class RunFolder {
  constructor(
    /** The folder of --out. */
    readonly root: string,
    /** RUN: the recipe's name or --name. */
    readonly name: string,
  ) {
    if (!/^[\w][\w.-]*$/.test(name)) {
      throw new UserError(
        `run name ${JSON.stringify(name)} is not usable as a folder name (expected letters, digits, "_", "-" and ".")`,
      )
    }
  }

  get metricsFolder() {
    return join(this.root, 'output', 'dit_metrics')
  }

  /** Path of a file of output/dit_metrics. */
  metrics(file: string) {
    return join(this.metricsFolder, file)
  }

  get checkpoints() {
    return join(this.root, 'checkpoints', this.name)
  }

  /** The final averaged weights. */
  get model() {
    return join(this.root, 'models', `${this.name}.safetensors`)
  }

  /** What a run left here, as paths. */
  occupied(): string[] {
    const folders = [this.metricsFolder, this.checkpoints].filter(
      path => existsSync(path) && readdirSync(path).length > 0,
    )
    return existsSync(this.model) ? [...folders, this.model] : folders
  }

  /** Removes what a run left here. */
  clear(): void {
    for (const path of this.occupied()) rmSync(path, { recursive: true })
  }

  /** Removes what a killed process left half written. */
  tidy(): void {
    removeLeftovers(this.checkpoints)
    removeLeftovers(this.metricsFolder)
    removeLeftovers(dirname(this.model), basename(this.model))
  }

  /** Throws unless the folder is free, or the mode says what to do with what is there. Changes nothing. */
  check(mode: RunMode): void {
    const found = this.occupied()
    if (found.length === 0 || mode === 'overwrite') return
    if (mode === 'resume') {
      this.checkResumable()
      return
    }
    throw new UserError(
      `${found.join(' and ')} ${found.length > 1 ? 'hold' : 'holds'} the output of another run: continue it with --resume, ` +
        'replace it with --overwrite, or choose another folder with --out',
    )
  }

  /**
   * One metrics folder serves one run at a time: --resume must not append to the CSV of a run of another name, nor begin
   * anew over a finished one whose checkpoints were deleted.
   */
  private checkResumable(): void {
    const path = this.metrics('summary.json')
    if (!existsSync(path)) return
    const { run, status } = JSON.parse(readFileSync(path, 'utf8')) as { run?: string; status?: string }
    if (run !== this.name) {
      throw new UserError(
        `${this.metricsFolder} belongs to the run ${run}, not ${this.name}: say --name ${run}, or choose another folder with --out`,
      )
    }
    if (status === 'finished' && !existsSync(this.checkpoints)) {
      throw new UserError(
        `the run ${run} is finished and ${this.checkpoints} is gone, so there is nothing to resume: --overwrite starts it again`,
      )
    }
  }
}

/** Throws when a run is resumed with other settings than it was started with, naming each. */
export function checkSameConfig(saved: Config, now: Config): void {
  const before = flatten(saved)
  const after = flatten(now)
  const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    key => before[key] !== after[key] && !FREE_ON_RESUME.includes(key),
  )
  if (changed.length > 0) {
    const lines = changed.map(key => `  ${key} was ${before[key] ?? 'not set'}, now ${after[key] ?? 'not set'}`)
    throw new UserError(
      `--resume continues a run exactly, but its settings differ:\n${lines.join('\n')}\n` +
        'Start a new run in another folder; init_from=CHECKPOINT starts it from these weights.',
    )
  }
}

function flatten(tree: unknown, prefix = ''): Record<string, string> {
  if (typeof tree !== 'object' || tree === null || Array.isArray(tree)) return { [prefix]: JSON.stringify(tree) }
  return Object.assign(
    {},
    ...Object.entries(tree).map(([key, value]) => flatten(value, prefix ? `${prefix}.${key}` : key)),
  )
}
