// Single ops: what a call costs, and how fast large ones go through memory.

import type { Experiment } from '../experiment'
import type { OpProblem } from '../problem'

export function ops(): Experiment[] {
  const names = ['mul', 'gelu', 'softmax', 'layerNorm', 'sum'] as const
  return [
    op({ kind: 'op', op: 'add', rows: 16, columns: 16, tape: true }, 1),
    ...names.map(name => op({ kind: 'op', op: name, rows: 16, columns: 16, tape: true })),
    ...(['add', ...names] as const).map(name => op({ kind: 'op', op: name, rows: 2048, columns: 1536, tape: false })),
  ]
}

function op(problem: OpProblem, atLeast?: number): Experiment {
  const { op: name, rows, columns, tape } = problem
  const work = `${name} of [${rows}, ${columns}]${tape ? ' with its tape entry' : ''}, per op`
  return {
    name: `ops ${name} ${rows}x${columns}`,
    group: 'ops',
    problem,
    sides: { ditkit: { by: 'ditkit' }, torch: { by: 'torch' } },
    rows: [{ work, ours: 'ditkit', against: 'torch', ...(atLeast && { atLeast }) }],
  }
}
