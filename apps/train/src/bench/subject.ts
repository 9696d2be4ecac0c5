// One side of a comparison: something that can be run again and again, and timed. And the comparison itself: all sides in
// turns, so that what else the machine does meets all alike.

import { setTimeout as pause } from 'node:timers/promises'
import { messageOf } from '../errors'

export interface Subject {
  readonly name: string
  /** Runs once, to its end; resolves to the seconds one repeat of the problem took. */
  run(): Promise<number>
  /** Largest error against float64, over the largest entry of the result; undefined where it is not defined. */
  accuracy?(): Promise<number | undefined>
  /** Bytes that one run needs beside inputs, output and gradients; undefined where it cannot be told. */
  workingBytes?(): Promise<number | undefined>
  close(): Promise<void>
}

export interface Measurement {
  readonly name: string
  /** Of each round; the same round is the same index on every side. */
  readonly seconds: readonly number[]
  /** Why there are no figures, or no more of them. */
  readonly failure?: string
}

export interface Rounds {
  readonly runs: number
  readonly warmUp: number
  /** Milliseconds before each run: threads of the side before may still spin, waiting for work. */
  readonly pause?: number
}

/**
 * Warms all subjects up, then runs them in turns A B B A A B …: what a side leaves behind, such as gigabytes that the system takes back, would
 * else always meet the same one. A subject that fails is left out from then on; its failure is noted.
 */
export async function alternate(subjects: readonly Subject[], rounds: Rounds): Promise<Measurement[]> {
  const measured = subjects.map(({ name }) => ({
    name,
    seconds: [] as number[],
    failure: undefined as string | undefined,
  }))
  const turns = [...subjects.entries()]
  for (let round = -rounds.warmUp; round < rounds.runs; round++, turns.reverse()) {
    for (const [at, subject] of turns) {
      const side = measured[at]
      if (side.failure) continue
      if (rounds.pause) await pause(rounds.pause)
      try {
        const seconds = await subject.run()
        if (round >= 0) side.seconds.push(seconds)
      } catch (error) {
        side.failure = messageOf(error)
      }
    }
  }
  return measured.map(({ failure, ...side }) => (failure === undefined ? side : { ...side, failure }))
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** The median of a / b over the rounds: both of a pair met the same load. */
export function ratioOf(a: Measurement, b: Measurement): number {
  return median(a.seconds.map((seconds, i) => seconds / b.seconds[i]))
}
