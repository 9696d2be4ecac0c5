// A run small enough for tests, and the command line as a child process on the sources.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Settings that turn `blobs` into a run of a few seconds that passes through everything. */
export const TINY = [
  'data.size=8',
  'data.images=40',
  'data.validation=8',
  'model.hidden=32',
  'model.layers=1',
  'model.heads=2',
  'diffusion.steps=5',
  'train.batch=8',
  'train.steps=60',
  'train.checkpoint_every=7',
  'train.validate_every=10',
  'sample.count=4',
]

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly output: string
}

export interface Running {
  readonly child: ChildProcess
  readonly end: Promise<Finished>
  /** What it has written so far. */
  output(): string
}

/** Starts `ditkit ARGS`. `limitKilobytes` is the largest file it may write: what a full disk looks like. */
export function startDitkit(args: readonly string[], options: { limitKilobytes?: number } = {}): Running {
  const node = [
    process.execPath,
    '--conditions=ditkit-source',
    '--import',
    source('source-loader.mjs'),
    source('../src/cli.ts'),
    ...args,
  ]
  const limited = ['sh', '-c', `ulimit -f ${2 * (options.limitKilobytes ?? 0)}; exec "$@"`, 'sh', ...node]
  const [program, ...rest] = options.limitKilobytes === undefined ? node : limited
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk))
  const end = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, output }))
  })
  return { child, end, output: () => output }
}

export function ditkit(...args: string[]): Promise<Finished> {
  return startDitkit(args).end
}

/** Resolves once the output holds `text`, or the process has ended. */
export async function untilOutput(text: string, running: Running): Promise<void> {
  while (running.child.exitCode === null && running.child.signalCode === null && !running.output().includes(text)) {
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

/** Resolves once the run in `out` has at least `rows` rows of metrics, or has ended. */
export async function untilRows(out: string, rows: number, running: Running): Promise<void> {
  const path = join(out, 'output', 'dit_metrics', 'training_metrics.csv')
  while (running.child.exitCode === null && running.child.signalCode === null) {
    if (existsSync(path) && readFileSync(path, 'utf8').split('\n').length > rows + 1) return
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

/** Everything a run computed, as bytes by name. */
export function results(out: string, run = 'blobs'): Record<string, Buffer> {
  const files = [
    `models/${run}.safetensors`,
    ...[
      'training_metrics.csv',
      'generated_samples.pt',
      'target_samples.pt',
      'generated_samples.png',
      'summary.json',
    ].map(name => `output/dit_metrics/${name}`),
  ]
  return Object.fromEntries(files.map(file => [file, readFileSync(join(out, file))]))
}
