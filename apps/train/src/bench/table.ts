// Everything `ditkit bench` measures, declared once: problems, sides, and what the ratios are to reach.

import type { Experiment, Row, Side } from './experiment'
import type { AttentionProblem, OpProblem, StepProblem } from './problem'

export interface Machine {
  /** Instruction sets that kernels exist for and this machine has, best last. */
  readonly isas: readonly string[]
  /** The one taken unless another is asked for. */
  readonly isa: string
  readonly threads: number
}

/** Two threads against one. */
const SCALING = 1.8

export function experimentsFor(machine: Machine): Experiment[] {
  return [...gemms(machine), ...attentions(machine), ...steps(machine), ...ops()]
}

// ── gemm ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** [m, n, k]: products of DiT-S over 1,024 tokens, and of a wide model. */
const GEMM_SHAPES = [
  [1024, 384, 384],
  [1024, 1536, 384],
  [1024, 384, 1536],
  [4096, 1024, 1024],
] as const

/** Share of the FMA peak of the same instruction set. */
const GEMM_SHARE: Record<string, number> = { avx512: 0.85, avx2: 0.88 }

function gemms({ isas, isa, threads }: Machine): Experiment[] {
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

// ── attention ───────────────────────────────────────────────────────────────────────────────────────────────────

/** A scene: few queries, very many points. */
const SCENE = { kind: 'attention', batch: 1, heads: 8, queries: 900, keys: 56_400, dim: 32 } as const
const SCENE_TEXT = 'attention 1 × 8, 900 × 56,400, D 32'
const PADDED = { kind: 'attention', batch: 4, heads: 8, queries: 10, keys: 2048, dim: 64, bias: 'none' } as const
const SQUARE = { kind: 'attention', batch: 4, heads: 8, queries: 512, keys: 512, dim: 64, bias: 'none' } as const
const LENGTHS = [2048, 1500, 700, 300]

function attentions(machine: Machine): Experiment[] {
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

// ── step ────────────────────────────────────────────────────────────────────────────────────────────────────────

const DIT_S: StepProblem = {
  ...{ kind: 'step', dtype: 'f32', batch: 8, size: 32, patch: 2, channels: 4, classes: 1000 },
  ...{ width: 384, depth: 12, heads: 6 },
}
const MNIST: StepProblem = {
  ...{ kind: 'step', dtype: 'f32', batch: 64, size: 28, patch: 4, channels: 1, classes: 10 },
  ...{ width: 128, depth: 4, heads: 4 },
}

function steps({ threads }: Machine): Experiment[] {
  const small = 'DiT-S step, batch 8 × 256 tokens'
  const mnist = 'MNIST-size DiT step, batch 64'
  const one: { [name: string]: Side } = threads > 1 ? { '1 thread': { by: 'ditkit', threads: 1 } } : {}
  const scalingOf = (work: string, ours: string): Row[] =>
    threads > 1 ? [scaling(work, ours, '1 thread', threads)] : []
  return [
    {
      name: 'step dit-s f32',
      group: 'step',
      problem: DIT_S,
      warmUp: 1,
      sides: {
        ditkit: { by: 'ditkit' },
        ...one,
        torch: { by: 'torch' },
        compiled: { by: 'torch', change: { compile: true } },
        openblas: { by: 'torch-openblas' },
      },
      rows: [
        { work: `${small}, f32`, ours: 'ditkit', against: 'torch', atLeast: 1.9 },
        { work: `${small}, f32: torch.compile`, ours: 'ditkit', against: 'compiled', atLeast: 1.9 },
        { work: `${small}, f32: PyTorch with OpenBLAS`, ours: 'ditkit', against: 'openblas', atLeast: 1.35 },
        ...scalingOf(`${small}, f32`, 'ditkit'),
      ],
    },
    {
      name: 'step dit-s bf16',
      group: 'step',
      problem: { ...DIT_S, dtype: 'bf16' },
      warmUp: 1,
      sides: {
        ditkit: { by: 'ditkit' },
        ...one,
        torch: { by: 'torch' },
        compiled: { by: 'torch', change: { compile: true } },
      },
      rows: [
        { work: `${small}, bf16: autocast`, ours: 'ditkit', against: 'torch', atLeast: 1.25 },
        { work: `${small}, bf16: autocast and torch.compile`, ours: 'ditkit', against: 'compiled', atLeast: 1.25 },
        ...scalingOf(`${small}, bf16`, 'ditkit'),
      ],
    },
    {
      name: 'step mnist',
      group: 'step',
      problem: MNIST,
      sides: {
        ditkit: { by: 'ditkit' },
        ...one,
        torch: { by: 'torch' },
        tfjs: { by: 'tfjs' },
        'jax-js': { by: 'jax-js' },
      },
      rows: [
        { work: mnist, ours: 'ditkit', against: 'torch', atLeast: 2 },
        { work: `${mnist}: jax-js`, ours: 'ditkit', against: 'jax-js', atLeast: 8 },
        { work: `${mnist}: tfjs-wasm`, ours: 'ditkit', against: 'tfjs', atLeast: 8 },
        ...scalingOf(mnist, 'ditkit'),
      ],
    },
  ]
}

// ── ops ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function ops(): Experiment[] {
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

function scaling(work: string, ours: string, against: string, threads: number): Row {
  // What is to be reached is said for two threads.
  return { work: `${work}: 1 → ${threads} threads`, ours, against, ...(threads === 2 && { atLeast: SCALING }) }
}

function threadText(count: number): string {
  return count === 1 ? '1 thread' : `${count} threads`
}
