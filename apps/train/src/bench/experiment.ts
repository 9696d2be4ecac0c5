// An experiment: one problem, the sides that run it in turns, and the rows of the table that come of it.

import type { Problem } from './problem'

export const PEERS = ['torch', 'torch-openblas', 'tfjs', 'jax-js', 'onnxruntime'] as const
export type PeerName = (typeof PEERS)[number]

export const GROUPS = ['gemm', 'attention', 'step', 'ops', 'points', 'collate'] as const
export type Group = (typeof GROUPS)[number]

export interface Side {
  /** 'peak' is not a program: the time the problem's arithmetic takes at the machine's FMA peak. */
  readonly by: 'ditkit' | 'peak' | PeerName
  /** Default: what the command was given. */
  readonly threads?: number
  /** ditkit and 'peak': the instruction set; default: the best. */
  readonly isa?: string
  /** How this side's problem differs from the experiment's. */
  readonly change?: { readonly [key: string]: unknown }
}

export interface Row {
  readonly work: string
  /** Names of sides. Without `against`, only a time. */
  readonly ours: string
  readonly against?: string
  /** Of the ratio against / ours: 2 means that ours takes half the time. */
  readonly atLeast?: number
  /** Of the ratio ours / against: 0.58 means that ours takes 58 % of the other's time. */
  readonly atMost?: number
  /** Print the ratio as a share in percent. */
  readonly percent?: boolean
}

export interface MemoryRow {
  readonly work: string
  readonly side: string
  readonly against?: string
  readonly atMostMB?: number
}

export interface Experiment {
  readonly name: string
  readonly group: Group
  readonly problem: Problem
  readonly sides: { readonly [name: string]: Side }
  readonly rows: readonly Row[]
  /** What sides need beside inputs, output and gradients. */
  readonly memory?: readonly MemoryRow[]
  /** Unmeasured runs of each side, for problems too long for the usual number. */
  readonly warmUp?: number
  /** Also report how far each side's result is from float64. */
  readonly accuracy?: boolean
}

/** What an experiment's side is to run. */
export function problemOf(experiment: Experiment, side: Side): Problem {
  return { ...experiment.problem, ...side.change } as Problem
}
