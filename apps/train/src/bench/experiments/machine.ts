// What the experiments are made for, and the row that many of them share.

import type { Row } from '../experiment'

export interface Machine {
  /** Instruction sets that kernels exist for and this machine has, best last. */
  readonly isas: readonly string[]
  /** The one taken unless another is asked for. */
  readonly isa: string
  readonly threads: number
}

/** Two threads against one. */
const SCALING = 1.8

export function scaling(work: string, ours: string, against: string, threads: number): Row {
  // What is to be reached is said for two threads.
  return { work: `${work}: 1 → ${threads} threads`, ours, against, ...(threads === 2 && { atLeast: SCALING }) }
}
