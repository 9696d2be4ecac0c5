// ditkit bench step|gemm|attention [--peer torch] [--python PATH] [--json FILE]
//
// Ratios against a peer in the same run, in turns, medians after warm-up: absolute times on a shared machine mean little.

import { cpus } from 'node:os'
import { writeFileAtomic } from '@ditkit/checkpoint/node'
import type { Device } from '@ditkit/core'
import { openDevice } from '../device'
import { UserError } from '../errors'
import { packageVersion } from '../package-files'
import { type Case, casesOf } from './cases'
import { alternate, type Comparison, median } from './subject'
import { type Lateness, watchTimer } from './timer-lateness'
import { torchPeer } from './torch-peer'

export interface BenchRequest {
  readonly what: 'step' | 'gemm' | 'attention'
  readonly peer?: 'torch'
  readonly python: string
  readonly threads: number
  readonly runs: number
  readonly json?: string
}

interface CaseResult {
  readonly title: string
  readonly sides: readonly (Comparison & { gflops?: number })[]
  /** ditkit's speed over the peer's; above 1 is faster than the peer. */
  readonly speedup?: number
}

const WARM_UP = 2
/** A step's timers are watched over this many steps. */
const TIMER_STEPS = 10

export async function bench(request: BenchRequest): Promise<void> {
  if (request.runs < 5) throw new UserError(`--runs is ${request.runs}; a median of fewer than five says little`)
  const device = await openDevice({ device: 'cpu', threads: request.threads })
  const processor = cpus()[0]?.model ?? 'unknown processor'
  console.log(`${device.description}; median of ${request.runs} runs in turns, after ${WARM_UP}\n`)
  try {
    const results: CaseResult[] = []
    for (const item of casesOf(request.what)) results.push(await measure(device, item, request))
    const timer = request.what === 'step' ? await timerDuringSteps(device) : undefined
    const report = {
      benchmark: request.what,
      version: packageVersion(),
      processor,
      device: device.description,
      threads: request.threads,
      runs: request.runs,
      results,
      ...(timer && { timer_lateness: timer }),
    }
    if (request.json) await writeFileAtomic(request.json, `${JSON.stringify(report, null, 2)}\n`)
  } finally {
    device.dispose()
  }
}

async function measure(device: Device, item: Case, { peer, python, threads, runs }: BenchRequest): Promise<CaseResult> {
  const subjects = [item.subject(device)]
  if (peer === 'torch') subjects.push(await torchPeer(python, threads, item.problem))
  try {
    const measured = await alternate(subjects, runs, WARM_UP)
    const sides = measured.map(side => (item.flops ? { ...side, gflops: item.flops / side.median / 1e9 } : side))
    // The ratio is taken pair by pair: both sides of a pair met the same load.
    const speedup = measured[1] && median(measured[0].seconds.map((own, i) => measured[1].seconds[i] / own))
    const result = { title: item.title, sides, ...(speedup !== undefined && { speedup }) }
    print(result)
    return result
  } finally {
    for (const subject of subjects) await subject.close()
  }
}

async function timerDuringSteps(device: Device): Promise<Lateness> {
  const subject = casesOf('step')[0].subject(device)
  await subject.run()
  const stop = watchTimer()
  for (let i = 0; i < TIMER_STEPS; i++) await subject.run()
  const lateness = stop()
  console.log(
    `A 100 ms timer during ${TIMER_STEPS} steps: at most ${lateness.worst_ms.toFixed(0)} ms late, ${lateness.median_ms.toFixed(0)} ms in the median (${lateness.timers} timers)`,
  )
  return lateness
}

function print({ title, sides, speedup }: CaseResult): void {
  console.log(title)
  for (const { name, median: seconds, gflops } of sides) {
    const rate = gflops ? `${gflops.toFixed(0).padStart(6)} GFLOP/s` : ''
    console.log(`  ${name.padEnd(24)} ${(1000 * seconds).toFixed(2).padStart(10)} ms ${rate}`)
  }
  if (speedup !== undefined) console.log(`  ditkit is ${speedup.toFixed(2)} times as fast`)
  console.log()
}
