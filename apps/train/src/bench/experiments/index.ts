// Everything `ditkit bench` measures, declared once: problems, sides, and what the ratios are to reach.

import type { Experiment } from '../experiment'
import { attentions } from './attention'
import { collations } from './collate'
import { gemms } from './gemm'
import type { Machine } from './machine'
import { ops } from './ops'
import { points } from './points'
import { steps } from './step'

export type { Machine } from './machine'

export function experimentsFor(machine: Machine): Experiment[] {
  return [...gemms(machine), ...attentions(machine), ...steps(machine), ...ops(), ...points(machine), ...collations()]
}
