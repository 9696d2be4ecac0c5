// One side of a comparison: something that can be run again and again, and timed.

export interface Subject {
  readonly name: string
  /** Runs once, to its end; resolves to the seconds it took. */
  run(): Promise<number>
  close(): Promise<void>
}

export interface Comparison {
  readonly name: string
  readonly seconds: readonly number[]
  readonly median: number
}

/**
 * Warms every subject up, then runs them in turns A B A B …, so that what else the machine does meets all alike.
 */
export async function alternate(subjects: readonly Subject[], runs: number, warmUp: number): Promise<Comparison[]> {
  const seconds = subjects.map((): number[] => [])
  for (let i = 0; i < warmUp; i++) for (const subject of subjects) await subject.run()
  for (let i = 0; i < runs; i++) {
    for (const [at, subject] of subjects.entries()) seconds[at].push(await subject.run())
  }
  return subjects.map(({ name }, at) => ({ name, seconds: seconds[at], median: median(seconds[at]) }))
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
