// Runs one experiment: makes its sides, takes turns, and keeps what failed beside what was measured.

import { messageOf } from '../errors'
import { ditkitSubject, peakSubject } from './ditkit-subject'
import { type Experiment, type PeerName, problemOf, type Side } from './experiment'
import type { Problem } from './problem'
import { alternate, type Measurement, type Rounds, type Subject } from './subject'

export interface SideResult extends Measurement {
  readonly side: Side
  readonly problem: Problem
  readonly accuracy?: number
  readonly workingBytes?: number
}

export interface Result {
  readonly experiment: Experiment
  /** By the names the experiment gives its sides. */
  readonly sides: { readonly [name: string]: SideResult }
}

export interface Surroundings {
  /** Threads of sides that do not say. */
  readonly threads: number
  peer(name: PeerName, problem: Problem, threads: number): Promise<Subject>
}

/** Never throws: a side that cannot be made, or fails, has a `failure` in place of figures. */
export async function runExperiment(experiment: Experiment, rounds: Rounds, around: Surroundings): Promise<Result> {
  const sides: { [name: string]: SideResult } = {}
  const made: { name: string; side: Side; problem: Problem; subject: Subject }[] = []
  for (const [name, side] of Object.entries(experiment.sides)) {
    const problem = problemOf(experiment, side)
    try {
      made.push({ name, side, problem, subject: await subjectOf(side, problem, around) })
    } catch (error) {
      sides[name] = { name: side.by, side, problem, seconds: [], failure: messageOf(error) }
    }
  }
  try {
    const warmUp = Math.min(rounds.warmUp, experiment.warmUp ?? rounds.warmUp)
    const measured = await alternate(
      made.map(({ subject }) => subject),
      { ...rounds, warmUp },
    )
    for (const [at, { name, side, problem, subject }] of made.entries()) {
      const extras = measured[at].failure ? {} : await extrasOf(experiment, name, subject)
      sides[name] = { ...measured[at], side, problem, ...extras }
    }
  } finally {
    for (const { subject } of made) await subject.close().catch(() => {})
  }
  return { experiment, sides }
}

async function subjectOf(side: Side, problem: Problem, { threads, peer }: Surroundings): Promise<Subject> {
  const options = { threads: side.threads ?? threads, ...(side.isa && { isa: side.isa }) }
  if (side.by === 'ditkit') return ditkitSubject(problem, options)
  if (side.by === 'peak') return peakSubject(problem, options)
  return peer(side.by, problem, options.threads)
}

async function extrasOf(
  { accuracy, memory }: Experiment,
  name: string,
  subject: Subject,
): Promise<Partial<SideResult>> {
  const asked = memory?.some(({ side, against }) => name === side || name === against)
  try {
    const error = accuracy ? await subject.accuracy?.() : undefined
    const bytes = asked ? await subject.workingBytes?.() : undefined
    return { ...(error !== undefined && { accuracy: error }), ...(bytes !== undefined && { workingBytes: bytes }) }
  } catch (error) {
    return { failure: messageOf(error) }
  }
}
