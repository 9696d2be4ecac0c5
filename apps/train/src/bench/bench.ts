// ditkit bench [gemm|attention|step|ops|points|collate]: ratios against peers in the same run, in turns, medians after warm-up, since absolute
// times on a shared machine mean little. Without a group, everything that ditkit is to reach.

import { access, constants } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import { describeCpu } from '@ditkit/backend-cpu'
import { writeFileAtomic } from '@ditkit/checkpoint/node'
import { UserError } from '../errors'
import { packageVersion } from '../package-files'
import { ditkitSubject } from './ditkit-subject'
import type { Experiment, Group, PeerName, Row } from './experiment'
import { experimentsFor } from './experiments'
import { installPeer, isNpmPeer } from './npm-peers'
import { type PeerOptions, Peers } from './peers'
import { printer } from './print'
import { type ReportRow, rowsOf } from './rows'
import { type Result, runExperiment } from './run-experiment'
import type { Rounds } from './subject'
import { type Lateness, watchTimer } from './timer-lateness'

export interface BenchRequest extends PeerOptions {
  /** Default: all. */
  readonly group?: Group
  /** Default: with a group none, else those that the table names. */
  readonly peers?: readonly PeerName[]
  /** Only experiments whose name contains this. */
  readonly pattern?: string
  readonly runs: number
  /** First install the peers that are npm packages. */
  readonly installPeers?: boolean
  /** Few runs, to see that everything works. */
  readonly quick?: boolean
  readonly markdown?: boolean
  readonly json?: string
}

const FEWEST_RUNS = 5
const WARM_UP = 2
/** Threads of OpenMP spin some milliseconds for more work after a peer's turn. */
const PAUSE_MS = 50
/** A step's timers are watched over this many steps. */
const TIMER_STEPS = 10

export async function bench(request: BenchRequest): Promise<void> {
  const rounds = roundsOf(request)
  const experiments = chosen(request)
  if (request.json) await refuseUnwritable(request.json)
  if (request.installPeers) installPeersOf(experiments)
  const { cores, isa = 'baseline', isas, model } = describeCpu()
  const header = [
    `ditkit ${packageVersion()} on ${model}, ${cores} cores, ${isa} (of ${isas.join(', ')}); Node ${process.version}`,
    `${request.threads} threads on every side unless said otherwise; medians of ${rounds.runs} runs in turns, after warm-up`,
  ]
  for (const text of header) console.log(text)
  console.log()
  const peers = new Peers(request)
  const around = { threads: request.threads, peer: peers.subject.bind(peers) }
  const works = experiments.flatMap(({ rows, memory = [] }) => [...rows, ...memory].map(({ work }) => work))
  const out = printer(works, request.markdown ?? false, console.log)
  const results: Result[] = []
  const rows: ReportRow[] = []
  let timer: Lateness | undefined
  try {
    for (const experiment of experiments) {
      progress(experiment.name)
      const result = await runExperiment(experiment, rounds, around)
      results.push(result)
      const made = rowsOf(result)
      rows.push(...made)
      for (const row of made) out.row(row)
    }
    progress('')
    out.end()
    if (request.group === 'step' && results.length > 0) timer = await timerDuringSteps(results[0], request.threads)
  } finally {
    peers.close()
  }
  const machine = { version: packageVersion(), processor: model, cores, isa, isas, node: process.version }
  const report = {
    ...{ ...machine, threads: request.threads, runs: rounds.runs, rows, results },
    ...(timer && { timer_lateness: timer }),
  }
  if (request.json) await writeFileAtomic(request.json, `${JSON.stringify(report, null, 2)}\n`)
  refuseSilence(request, results)
}

function roundsOf({ runs, quick }: BenchRequest): Rounds {
  if (quick) return { runs: 2, warmUp: 1, pause: PAUSE_MS }
  if (runs < FEWEST_RUNS) {
    throw new UserError(
      `--runs is ${runs}; a median of fewer than five says little (--quick only shows that everything works)`,
    )
  }
  return { runs, warmUp: WARM_UP, pause: PAUSE_MS }
}

/** The experiments asked for, with just the sides asked for. */
function chosen({ group, peers, pattern = '', threads }: BenchRequest): Experiment[] {
  const { isas, isa, problem } = describeCpu()
  if (isa === undefined || problem) throw new UserError(problem ?? 'there is no CPU device')
  const all = experimentsFor({ isas, isa, threads: Math.min(threads, availableParallelism()) })
  const found = all.filter(each => (!group || each.group === group) && each.name.includes(pattern))
  if (found.length === 0) {
    const names = all.filter(each => !group || each.group === group).map(each => each.name)
    throw new UserError(`--case ${pattern}: no experiment of that name (there are ${names.join(', ')})`)
  }
  const named = peers ?? (group ? [] : undefined)
  return named ? found.map(each => withPeers(each, named)) : found
}

function installPeersOf(experiments: readonly Experiment[]): void {
  const named = new Set(experiments.flatMap(({ sides }) => Object.values(sides).map(({ by }) => by)))
  for (const name of named) if (isNpmPeer(name)) installPeer(name)
}

/** Leaves out the sides of other peers, and adds a comparison with those that the experiment does not have. */
export function withPeers(experiment: Experiment, peers: readonly PeerName[]): Experiment {
  const kept = Object.entries(experiment.sides).filter(
    ([, { by }]) => by === 'ditkit' || by === 'peak' || peers.includes(by),
  )
  const sides = Object.fromEntries(kept)
  const rows: Row[] = experiment.rows.filter(({ against }) => against === undefined || against in sides)
  const { ours } = experiment.rows[0]
  const work = experiment.rows[0].work.split(':')[0]
  for (const peer of peers) {
    if (Object.values(sides).some(({ by }) => by === peer)) continue
    sides[peer] = { by: peer }
    rows.push({ work: `${work}: ${peer}`, ours, against: peer })
  }
  if (rows.length === 0) rows.push({ work, ours })
  const memory = experiment.memory?.map(row =>
    row.against && !(row.against in sides) ? { ...row, against: undefined } : row,
  )
  return { ...experiment, sides, rows, ...(memory && { memory }) }
}

/** Said before the measuring, which may take an hour, and not after it. */
async function refuseUnwritable(path: string): Promise<void> {
  const folder = dirname(path)
  try {
    await access(folder, constants.W_OK)
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new UserError(`--json ${path}: folder ${folder} ${missing ? 'does not exist' : 'cannot be written to'}`)
  }
}

/** ditkit, or a peer that was asked for by name, that never ran is an error, with the reason. */
function refuseSilence({ peers = [] }: BenchRequest, results: readonly Result[]): void {
  for (const name of ['ditkit', ...peers]) {
    const sides = results.flatMap(({ sides }) => Object.values(sides)).filter(({ side }) => side.by === name)
    if (sides.some(({ seconds }) => seconds.length > 0)) continue
    const who = name === 'ditkit' ? name : `--peer ${name}`
    throw new UserError(
      `${who} ran nothing: ${sides.find(({ failure }) => failure)?.failure ?? 'no case of it was chosen'}`,
    )
  }
}

async function timerDuringSteps({ experiment }: Result, threads: number): Promise<Lateness> {
  const subject = await ditkitSubject(experiment.problem, { threads })
  try {
    await subject.run()
    const stop = watchTimer()
    for (let i = 0; i < TIMER_STEPS; i++) await subject.run()
    const lateness = stop()
    console.log(
      `\nA 100 ms timer during ${TIMER_STEPS} steps: at most ${lateness.worst_ms.toFixed(0)} ms late, ${lateness.median_ms.toFixed(0)} ms in the median (${lateness.timers} timers)`,
    )
    return lateness
  } finally {
    await subject.close()
  }
}

/** On a terminal, what is being measured; each text replaces the one before. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text && `${text} …`}`)
}
