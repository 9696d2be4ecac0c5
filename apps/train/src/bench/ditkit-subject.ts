// ditkit's side of an experiment, on a device of its own.

import { cpu, fmaPeak } from '@ditkit/backend-cpu'
import type { Device } from '@ditkit/core'
import { attentionWork } from './ditkit-attention'
import { collateSubject } from './ditkit-collate'
import { gemmWork } from './ditkit-gemm'
import { opWork } from './ditkit-op'
import { pointsWork } from './ditkit-points'
import { stepWork } from './ditkit-step'
import { type CollateProblem, flopsOf, type Problem, repeatsOf } from './problem'
import type { Subject } from './subject'

export interface DeviceOptions {
  readonly threads: number
  readonly isa?: string
}

/** What a problem is on a device: enqueued by `enqueue`, `times` in a row. */
export interface Work {
  enqueue(times: number): void
  /** Largest error against float64, over the largest entry. */
  accuracy?(): Promise<number>
  /** Bytes of the outputs and gradients that one time makes. */
  readonly resultBytes?: number
}

/** All but collation happens on a device. */
type DeviceProblem = Exclude<Problem, CollateProblem>

function workOf(device: Device, problem: DeviceProblem): Work {
  switch (problem.kind) {
    case 'gemm':
      return gemmWork(device, problem)
    case 'attention':
      return attentionWork(device, problem)
    case 'step':
      return stepWork(device, problem)
    case 'op':
      return opWork(device, problem)
    case 'points':
      return pointsWork(device, problem)
  }
}

export async function ditkitSubject(problem: Problem, options: DeviceOptions): Promise<Subject> {
  if (problem.kind === 'collate') return collateSubject(problem)
  const device = await openDevice(options)
  const repeats = repeatsOf(problem)
  try {
    const work = workOf(device, problem)
    return {
      name: 'ditkit',
      async run() {
        if (repeats > 1) {
          // One unmeasured repeat: caches and threads are then as they are in the middle of work.
          work.enqueue(1)
          await device.sync()
        }
        const start = performance.now()
        work.enqueue(repeats)
        await device.sync()
        return (performance.now() - start) / 1000 / repeats
      },
      accuracy: async () => work.accuracy?.(),
      workingBytes: () => workingBytes(problem, options),
      close: async () => device.dispose(),
    }
  } catch (error) {
    device.dispose()
    throw error
  }
}

/** On a fresh device, whose peak is that of this problem alone. */
async function workingBytes(problem: DeviceProblem, options: DeviceOptions): Promise<number | undefined> {
  const device = await openDevice(options)
  try {
    const work = workOf(device, problem)
    if (work.resultBytes === undefined) return undefined
    await device.sync()
    const inputs = device.memory().liveBytes
    work.enqueue(1)
    await device.sync()
    const { peakBytes, workspaceBytes } = device.memory()
    return peakBytes - inputs - work.resultBytes + workspaceBytes
  } finally {
    device.dispose()
  }
}

function openDevice({ threads, isa }: DeviceOptions): Promise<Device> {
  return cpu({ threads, ...(isa && { isa: isa as 'avx2' }) })
}

/** The time that the arithmetic of a problem takes at the machine's FMA peak, measured anew at each run. */
export function peakSubject(problem: Problem, { threads, isa = 'baseline' }: DeviceOptions): Subject {
  const flops = flopsOf(problem) ?? Number.NaN
  return {
    name: `FMA peak, ${isa}`,
    run: async () => flops / fmaPeak(threads, isa) / 1e9,
    close: async () => {},
  }
}
