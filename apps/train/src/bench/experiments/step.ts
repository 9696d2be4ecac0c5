// Whole training steps.

import type { Experiment, Row, Side } from '../experiment'
import type { StepProblem } from '../problem'
import { type Machine, scaling } from './machine'

const DIT_S: StepProblem = {
  ...{ kind: 'step', dtype: 'f32', batch: 8, size: 32, patch: 2, channels: 4, classes: 1000 },
  ...{ width: 384, depth: 12, heads: 6 },
}
const MNIST: StepProblem = {
  ...{ kind: 'step', dtype: 'f32', batch: 64, size: 28, patch: 4, channels: 1, classes: 10 },
  ...{ width: 128, depth: 4, heads: 4 },
}

export function steps({ threads, isa, isas }: Machine): Experiment[] {
  const small = 'DiT-S step, batch 8 × 256 tokens'
  const mnist = 'MNIST-size DiT step, batch 64'
  const one: { [name: string]: Side } = threads > 1 ? { '1 thread': { by: 'ditkit', threads: 1 } } : {}
  const scalingOf = (work: string, ours: string): Row[] =>
    threads > 1 ? [scaling(work, ours, '1 thread', threads)] : []
  // Where products take another way than FMA, what FMA alone reaches.
  const fma = isa !== 'avx512' && isas.includes('avx512')
  return [
    {
      name: 'step dit-s f32',
      group: 'step',
      problem: DIT_S,
      warmUp: 1,
      sides: {
        ditkit: { by: 'ditkit' },
        ...one,
        ...(fma && { avx512: { by: 'ditkit', isa: 'avx512' } }),
        torch: { by: 'torch' },
        compiled: { by: 'torch', change: { compile: true } },
        openblas: { by: 'torch-openblas' },
      },
      rows: [
        { work: `${small}, f32`, ours: 'ditkit', against: 'torch', atLeast: 1.9 },
        ...(fma ? [{ work: `${small}, f32, avx512`, ours: 'avx512', against: 'torch', atLeast: 1.9 }] : []),
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
