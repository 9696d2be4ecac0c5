// Attention over scenes, over padded keys, and half padded.

import type { Experiment, Row, Side } from '../experiment'
import type { AttentionProblem } from '../problem'
import { type Machine, scaling } from './machine'

/** A scene: few queries, very many points. */
const SCENE = { kind: 'attention', batch: 1, heads: 8, queries: 900, keys: 56_400, dim: 32 } as const
const SCENE_TEXT = 'attention 1 × 8, 900 × 56,400, D 32'
const PADDED = { kind: 'attention', batch: 4, heads: 8, queries: 10, keys: 2048, dim: 64, bias: 'none' } as const
const SQUARE = { kind: 'attention', batch: 4, heads: 8, queries: 512, keys: 512, dim: 64, bias: 'none' } as const
const LENGTHS = [2048, 1500, 700, 300]

export function attentions(machine: Machine): Experiment[] {
  return [false, true].flatMap(backward => {
    const pass = backward ? 'forward + backward' : 'forward'
    const few = `attention 4 × 8, 10 × 2,048, D 64`
    const dense: AttentionProblem = { ...SCENE, bias: 'dense', backward }
    const padded: AttentionProblem = { ...PADDED, lengths: LENGTHS, backward }
    return [
      attention(machine, `scene dense ${pass}`, dense, `${SCENE_TEXT}, dense shared bias, ${pass}`, backward ? 6 : 2.4),
      factored(machine, backward),
      attention(machine, `padded ${pass}`, padded, `${few}, lengths ${LENGTHS.join('/')}, ${pass}`, 2.5),
      halfPadded(`half padded ${pass}`, { ...PADDED, backward }, `${few}, ${pass}`),
      halfPadded(`half padded square ${pass}`, { ...SQUARE, backward }, `attention 4 × 8, 512 × 512, D 64, ${pass}`),
    ]
  })
}

function attention(
  { threads }: Machine,
  name: string,
  problem: AttentionProblem,
  work: string,
  atLeast: number,
): Experiment {
  const sides: { [name: string]: Side } = { ditkit: { by: 'ditkit' }, torch: { by: 'torch' } }
  const rows: Row[] = [{ work, ours: 'ditkit', against: 'torch', atLeast }]
  if (threads > 1) {
    sides['1 thread'] = { by: 'ditkit', threads: 1 }
    rows.push(scaling(work, 'ditkit', '1 thread', threads))
  }
  const long = problem.keys > 10_000
  return { name: `attention ${name}`, group: 'attention', problem, sides, rows, ...(long && { warmUp: 1 }) }
}

/** A rank-8 bias: its factors the same for all heads, and a pair per head, which PyTorch cannot tell apart once they are concatenated. */
function factored({ threads }: Machine, backward: boolean): Experiment {
  const pass = backward ? 'forward + backward' : 'forward'
  const work = `${SCENE_TEXT}, rank-8 bias, ${pass}`
  const perHeadWork = `${SCENE_TEXT}, rank-8 bias per head, ${pass}`
  const perHead = { bias: 'factors per head' }
  const memory = 'working memory beyond inputs, output, gradients'
  return {
    name: `attention scene factors ${pass}`,
    group: 'attention',
    problem: { ...SCENE, bias: 'shared factors', rank: 8, backward },
    warmUp: 1,
    sides: {
      ditkit: { by: 'ditkit' },
      'per head': { by: 'ditkit', change: perHead },
      'no bias': { by: 'ditkit', change: { bias: 'none' } },
      ...(threads > 1 && {
        '1 thread': { by: 'ditkit', threads: 1 },
        'per head, 1 thread': { by: 'ditkit', threads: 1, change: perHead },
      }),
      torch: { by: 'torch' },
      padded: { by: 'torch', change: { padValues: true } },
    },
    rows: [
      { work: `${work}: factors concatenated`, ours: 'ditkit', against: 'torch', atLeast: 9 },
      { work: `${work}: factors concatenated, v padded to q's width`, ours: 'ditkit', against: 'padded' },
      { work: `${work}: time over no bias`, ours: 'ditkit', against: 'no bias', atMost: 1.15 },
      { work: `${perHeadWork}: time over no bias`, ours: 'per head', against: 'no bias', atMost: 1.25 },
      ...(threads > 1
        ? [
            scaling(work, 'ditkit', '1 thread', threads),
            scaling(perHeadWork, 'per head', 'per head, 1 thread', threads),
          ]
        : []),
    ],
    ...(backward && {
      memory: [
        { work: `${work}: ${memory}`, side: 'ditkit', against: 'torch', atMostMB: 64 },
        { work: `${perHeadWork}: ${memory}`, side: 'per head', atMostMB: 64 },
      ],
    }),
  }
}

function halfPadded(name: string, problem: AttentionProblem, work: string): Experiment {
  return {
    name: `attention ${name}`,
    group: 'attention',
    problem: { ...problem, lengths: Array(problem.batch).fill(problem.keys / 2) },
    sides: { ditkit: { by: 'ditkit' }, full: { by: 'ditkit', change: { lengths: undefined } } },
    rows: [{ work: `${work}: half padding over full`, ours: 'ditkit', against: 'full', atMost: 0.58 }],
  }
}
