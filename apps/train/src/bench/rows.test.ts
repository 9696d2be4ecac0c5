import { expect, it } from 'vitest'
import type { Experiment, Side } from './experiment'
import { printer } from './print'
import { rowsOf } from './rows'
import type { Result, SideResult } from './run-experiment'

const GEMM = { kind: 'gemm', m: 1000, n: 1000, k: 500 } as const

function result(
  rows: Experiment['rows'],
  sides: Record<string, Partial<SideResult> & { by?: Side['by'] }>,
  more: Partial<Experiment> = {},
): Result {
  const full = Object.entries(sides).map(([name, { by = 'ditkit', ...side }]) => [
    name,
    { name, problem: GEMM, seconds: [], side: { by, isa: 'avx2' }, ...side },
  ])
  return {
    experiment: { name: 'a', group: 'gemm', problem: GEMM, sides: {}, rows, ...more },
    sides: Object.fromEntries(full),
  }
}

it('a ratio is the median over pairs, and says whether what was wanted is met', () => {
  const sides = {
    ours: { seconds: [0.1, 0.2, 0.4] },
    torch: { by: 'torch' as const, seconds: [0.2, 0.6, 0.8] },
  }
  const row = { work: 'w', ours: 'ours', against: 'torch' }
  const [plain, met, unmet, cost, costly] = rowsOf(
    result(
      [row, { ...row, atLeast: 1.9 }, { ...row, atLeast: 2.1 }, { ...row, atMost: 0.6 }, { ...row, atMost: 0.4 }],
      sides,
    ),
  )
  expect(plain).toEqual({
    work: 'w',
    ours: '200 ms (5 GFLOP/s)',
    against: 'torch: 600 ms (2 GFLOP/s)',
    ratio: '2.00 ×',
    wanted: '',
    value: expect.closeTo(2),
  })
  expect(met).toMatchObject({ met: true, wanted: '1.9 ×' })
  expect(unmet).toMatchObject({ met: false })
  expect(cost).toMatchObject({ met: true, ratio: '0.50', wanted: '≤ 0.6' })
  expect(costly).toMatchObject({ met: false })
})

it('a share of the peak is printed in percent', () => {
  const [row] = rowsOf(
    result([{ work: 'w', ours: 'ours', against: 'peak', atLeast: 0.85, percent: true }], {
      ours: { seconds: [1e-3] },
      peak: { by: 'peak', seconds: [0.9e-3] },
    }),
  )
  expect(row).toMatchObject({ ours: '1.00 ms (1000 GFLOP/s)', ratio: '90 %', wanted: '85 %', met: true })
})

it('a side without figures gives its reason in place of a ratio', () => {
  const sides = { ours: { seconds: [1] }, tfjs: { by: 'tfjs' as const, failure: 'tfjs is not installed' } }
  const [row] = rowsOf(result([{ work: 'w', ours: 'ours', against: 'tfjs', atLeast: 8 }], sides))
  expect(row).toMatchObject({ ours: '1.00 s (1 GFLOP/s)', ratio: '', note: 'tfjs is not installed' })
  expect(row.met).toBeUndefined()
})

it('working memory and errors have rows of their own', () => {
  const rows = rowsOf(
    result(
      [{ work: 'GEMM 1, avx2', ours: 'ours' }],
      {
        ours: { seconds: [1], workingBytes: 65e6, accuracy: 5e-7 },
        torch: { by: 'torch', seconds: [1], workingBytes: 4e9, accuracy: 6e-7 },
      },
      { accuracy: true, memory: [{ work: 'memory', side: 'ours', against: 'torch', atMostMB: 64 }] },
    ),
  )
  expect(rows[1]).toMatchObject({ ours: '65 MB', against: 'torch: 4000 MB', wanted: '< 64 MB', met: false })
  expect(rows[2]).toMatchObject({ ours: 'avx2 5.0e-7', against: 'torch 6.0e-7' })
  expect(rows[2].work).toMatch(/^GEMM 1: largest error/)
})

it('the table says met or not, and lists each reason once, as text and as Markdown', () => {
  const row = { work: 'work', ours: '1 s', against: 'b: 2 s', ratio: '2 ×', wanted: '1 ×' }
  for (const markdown of [false, true]) {
    const lines: string[] = []
    const table = printer(['work'], markdown, line => lines.push(line))
    table.row({ ...row, met: true })
    table.row({ ...row, met: false })
    table.row({ ...row, note: 'why' })
    table.row({ ...row, note: 'why' })
    table.end()
    if (markdown) expect(lines[2]).toBe('| work | 1 s | b: 2 s | 2 × | 1 × | yes |')
    else expect(lines[2]).toMatch(/^work {2}1 s +b: 2 s +2 × +1 × +yes$/)
    expect(lines[3]).toMatch(/no( \|)?$/)
    expect(lines[4]).toMatch(/\[1\]( \|)?$/)
    expect(lines.filter(line => line.startsWith('[1] why'))).toHaveLength(1)
  }
})
