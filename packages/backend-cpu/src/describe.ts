// What there is to say about the CPU device without making one: for `ditkit doctor`.

import os from 'node:os'
import { isaName } from './cpu'
import { addonPath, buildCommand, buildInfo, loadAddon } from './native'

export interface CpuDescription {
  readonly model: string
  /** Threads that run in parallel, as the operating system allows this process. */
  readonly cores: number
  readonly addonPath: string
  readonly buildCommand: string
  /** Absent when no addon was built. */
  readonly build?: { readonly compiler: string; readonly target: string }
  /** Instruction sets that kernels exist for and this machine has, best last; empty when the addon does not load. */
  readonly isas: readonly string[]
  /** The set `cpu()` takes. */
  readonly isa?: string
  /** Why there is no CPU device, when there is none. */
  readonly problem?: string
}

/** Never throws. */
export function describeCpu(): CpuDescription {
  const base = {
    model: os.cpus()[0]?.model.trim() || process.arch,
    cores: os.availableParallelism(),
    addonPath,
    buildCommand,
    build: buildInfo(),
  }
  try {
    const isas = loadAddon().describe().map(isaName)
    const isa = process.env.DITKIT_ISA || isas[isas.length - 1]
    const problem = isas.includes(isa) ? undefined : `DITKIT_ISA is '${isa}', but this machine has ${isas.join(', ')}`
    return { ...base, isas, isa, problem }
  } catch (error) {
    return { ...base, isas: [], problem: (error as Error).message }
  }
}
