// Matrix products at the shapes of DiTs: as a share of what the machine can multiply and add at all.

import type { Experiment, Row, Side } from '../experiment'
import { type Machine, scaling } from './machine'

/** [m, n, k]: products of DiT-S over 1,024 tokens, and of a wide model. */
const GEMM_SHAPES = [
  [1024, 384, 384],
  [1024, 1536, 384],
  [1024, 384, 1536],
  [4096, 1024, 1024],
] as const

/** Share of the FMA peak of the same instruction set. */
const GEMM_SHARE: Record<string, number> = { avx512: 0.85, avx2: 0.88 }

export function gemms({ isas, isa, threads }: Machine): Experiment[] {
  const forced = ['avx512', 'avx2'].filter(set => set !== isa && isas.includes(set))
  // Sets beyond FMA (AMX) are held against the peak of the best FMA set as well.
  const peakOf = (set: string) =>
    set in GEMM_SHARE ? set : ([...isas].reverse().find(each => each in GEMM_SHARE) ?? set)
  return GEMM_SHAPES.map(([m, n, k]): Experiment => {
    const sides: { [name: string]: Side } = { torch: { by: 'torch' } }
    const rows: Row[] = []
    const work = `GEMM ${m} × ${n} × ${k}`
    for (const set of [isa, ...forced]) {
      for (const count of threads > 1 ? [threads, 1] : [1]) {
        sides[`${set} ${count}`] = { by: 'ditkit', isa: set, threads: count }
        sides[`peak ${set} ${count}`] = { by: 'peak', isa: peakOf(set), threads: count }
        const what = `${work}, ${set}, ${threadText(count)}: share of the FMA peak`
        rows.push({
          work: what,
          ours: `${set} ${count}`,
          against: `peak ${set} ${count}`,
          atLeast: GEMM_SHARE[peakOf(set)],
          percent: true,
        })
      }
    }
    rows.push({ work, ours: `${isa} ${threads}`, against: 'torch' })
    if (threads > 1) rows.push(scaling(work, `${isa} ${threads}`, `${isa} 1`, threads))
    return {
      name: `gemm ${m}x${n}x${k}`,
      group: 'gemm',
      problem: { kind: 'gemm', m, n, k },
      sides,
      rows,
      accuracy: true,
    }
  })
}

function threadText(count: number): string {
  return count === 1 ? '1 thread' : `${count} threads`
}
