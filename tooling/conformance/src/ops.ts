// Every op of core, once. The suite runs each entry on every device, forward and gradient, against the float64 reference, against
// PyTorch's float64 results, and against finite differences. To add an op, add one entry (and run the oracle script, see README.md).

import {
  abs,
  add,
  argmax,
  cast,
  clamp,
  concat,
  contiguous,
  cos,
  crossEntropy,
  div,
  embedding,
  equal,
  exp,
  expand,
  floor,
  gatedResidual,
  gatherPoints,
  gelu,
  greater,
  greaterEqual,
  isFinite,
  layerNorm,
  less,
  lessEqual,
  linear,
  log,
  logicalAnd,
  logicalNot,
  logicalOr,
  logSoftmax,
  logSumExp,
  matmul,
  max,
  maximum,
  mean,
  min,
  minimum,
  mlp,
  modulatedLayerNorm,
  mseLoss,
  mul,
  neg,
  notEqual,
  pad,
  permute,
  pow,
  quantile,
  reciprocal,
  relu,
  reshape,
  rmsNorm,
  round,
  rsqrt,
  scatterAdd,
  sigmoid,
  sign,
  silu,
  sin,
  slice,
  softmax,
  softplus,
  split,
  sqrt,
  square,
  squeeze,
  stack,
  sub,
  sum,
  type Tensor,
  tanh,
  transpose,
  unsqueeze,
  variance,
  where,
} from '@ditkit/core'

/** How an input is filled: a hash formula that PyTorch's side evaluates too. */
export interface OpInput {
  readonly shape: readonly number[]
  /** 'normal' (default), 'positive' (0.1 … 2.1), 'index' (i32 below `below`), 'bool', 'coarse' (integers −2 … 2 as floats: many ties). */
  readonly values?: 'normal' | 'positive' | 'index' | 'bool' | 'coarse'
  readonly below?: number
}

export interface OpCase {
  readonly name: string
  readonly inputs: readonly OpInput[]
  readonly run: (...inputs: Tensor[]) => Tensor
  /** The same in PyTorch, of a, b, c, …: an expression for the oracle script. */
  readonly torch: string
  /** Largest error on f32 devices, over the result's largest entry; default 3e-6. */
  readonly tolerance?: number
  /** A result without gradient (comparisons, indices). */
  readonly flat?: boolean
  /** Finite differences say nothing here (ties, kinks). */
  readonly kinks?: boolean
  /** `run` is made of several ops: what is between them is this entry's to dispose, not the op's. */
  readonly composed?: boolean
}

const A: OpInput = { shape: [7, 59] }
const POSITIVE: OpInput = { shape: [7, 59], values: 'positive' }
const COARSE: OpInput = { shape: [7, 59], values: 'coarse' }

const unary: OpCase[] = [
  { name: 'neg', inputs: [A], run: neg, torch: '-a' },
  { name: 'abs', inputs: [A], run: abs, torch: 'a.abs()' },
  { name: 'exp', inputs: [A], run: exp, torch: 'a.exp()' },
  { name: 'log', inputs: [POSITIVE], run: log, torch: 'a.log()' },
  { name: 'sqrt', inputs: [POSITIVE], run: sqrt, torch: 'a.sqrt()' },
  { name: 'rsqrt', inputs: [POSITIVE], run: rsqrt, torch: 'a.rsqrt()' },
  { name: 'reciprocal', inputs: [POSITIVE], run: reciprocal, torch: 'a.reciprocal()' },
  { name: 'square', inputs: [A], run: square, torch: 'a * a' },
  { name: 'tanh', inputs: [A], run: tanh, torch: 'a.tanh()' },
  { name: 'sigmoid', inputs: [A], run: sigmoid, torch: 'a.sigmoid()' },
  { name: 'silu', inputs: [A], run: silu, torch: 'F.silu(a)' },
  { name: 'gelu', inputs: [A], run: gelu, torch: "F.gelu(a, approximate='tanh')" },
  {
    name: 'gelu of large values',
    inputs: [A],
    run: x => gelu(mul(x, 30)),
    torch: "F.gelu(a * 30, approximate='tanh')",
    composed: true,
  },
  { name: 'relu', inputs: [A], run: relu, torch: 'a.relu()' },
  { name: 'softplus', inputs: [A], run: softplus, torch: 'F.softplus(a)' },
  {
    name: 'softplus of values far below 0',
    inputs: [A],
    run: x => softplus(sub(mul(x, 3), 20)),
    torch: 'F.softplus(a * 3 - 20)',
    composed: true,
  },
  { name: 'sin', inputs: [A], run: x => sin(mul(x, 100)), torch: '(a * 100).sin()', tolerance: 3e-5, composed: true },
  { name: 'cos', inputs: [A], run: x => cos(mul(x, 100)), torch: '(a * 100).cos()', tolerance: 3e-5, composed: true },
  { name: 'clamp', inputs: [A], run: x => clamp(x, -0.5, 0.7), torch: 'a.clamp(-0.5, 0.7)' },
  { name: 'floor', inputs: [A], run: x => floor(mul(x, 10)), torch: '(a * 10).floor()', flat: true, composed: true },
  {
    name: 'round',
    inputs: [COARSE],
    run: x => round(mul(x, 0.5)),
    torch: '(a * 0.5).round()',
    flat: true,
    composed: true,
  },
  { name: 'sign', inputs: [COARSE], run: sign, torch: 'a.sign()', flat: true },
  {
    name: 'isFinite',
    inputs: [COARSE],
    run: x => isFinite(div(1, x)),
    torch: '(1 / a).isfinite()',
    flat: true,
    composed: true,
  },
  { name: 'logicalNot', inputs: [COARSE], run: logicalNot, torch: 'a.logical_not()', flat: true },
]

const binary: OpCase[] = [
  { name: 'add', inputs: [A, A], run: add, torch: 'a + b' },
  { name: 'add broadcast in the middle', inputs: [{ shape: [3, 1, 7] }, { shape: [5, 1] }], run: add, torch: 'a + b' },
  { name: 'add one element', inputs: [{ shape: [1] }, { shape: [] }], run: add, torch: 'a + b' },
  { name: 'sub', inputs: [A, { shape: [59] }], run: sub, torch: 'a - b' },
  { name: 'sub from a number', inputs: [A], run: x => sub(2, x), torch: '2 - a' },
  { name: 'mul', inputs: [A, { shape: [7, 1] }], run: mul, torch: 'a * b' },
  { name: 'mul of leading axes', inputs: [{ shape: [587, 3] }, { shape: [3] }], run: mul, torch: 'a * b' },
  { name: 'div', inputs: [A, POSITIVE], run: div, torch: 'a / b' },
  { name: 'div of a number', inputs: [POSITIVE], run: x => div(3, x), torch: '3 / a' },
  { name: 'pow', inputs: [POSITIVE, A], run: pow, torch: 'a ** b', tolerance: 1e-5 },
  { name: 'pow number', inputs: [A], run: x => pow(x, 3), torch: 'a ** 3' },
  { name: 'maximum', inputs: [COARSE, COARSE], run: maximum, torch: 'torch.maximum(a, b)', kinks: true },
  { name: 'minimum', inputs: [A, { shape: [59] }], run: minimum, torch: 'torch.minimum(a, b)' },
  { name: 'less', inputs: [COARSE, COARSE], run: less, torch: 'a < b', flat: true },
  { name: 'lessEqual', inputs: [COARSE, COARSE], run: lessEqual, torch: 'a <= b', flat: true },
  { name: 'greater', inputs: [COARSE, COARSE], run: greater, torch: 'a > b', flat: true },
  { name: 'greaterEqual', inputs: [COARSE, COARSE], run: greaterEqual, torch: 'a >= b', flat: true },
  { name: 'equal', inputs: [COARSE, COARSE], run: equal, torch: 'a == b', flat: true },
  { name: 'notEqual', inputs: [COARSE], run: x => notEqual(x, 1), torch: 'a != 1', flat: true },
  { name: 'logicalAnd', inputs: [COARSE, COARSE], run: logicalAnd, torch: 'a.logical_and(b)', flat: true },
  { name: 'logicalOr', inputs: [COARSE, COARSE], run: logicalOr, torch: 'a.logical_or(b)', flat: true },
  {
    name: 'where',
    inputs: [{ shape: [7, 59], values: 'bool' }, A, { shape: [59] }],
    run: where,
    torch: 'torch.where(a, b, c)',
  },
  {
    name: 'where number',
    inputs: [{ shape: [7, 1], values: 'bool' }, A],
    run: (c, x) => where(c, 0.5, x),
    torch: 'torch.where(a, 0.5, b)',
  },
]

const reductions: OpCase[] = [
  { name: 'sum', inputs: [A], run: x => sum(x), torch: 'a.sum()' },
  { name: 'sum of the last axis', inputs: [{ shape: [3, 5, 147] }], run: x => sum(x, -1), torch: 'a.sum(-1)' },
  { name: 'sum of the first axis', inputs: [{ shape: [587, 7] }], run: x => sum(x, 0), torch: 'a.sum(0)' },
  {
    name: 'sum of middle axes',
    inputs: [{ shape: [3, 5, 7, 4] }],
    run: x => sum(x, [1, 2], { keepDims: true }),
    torch: 'a.sum((1, 2), keepdim=True)',
  },
  { name: 'mean', inputs: [A], run: x => mean(x, 0), torch: 'a.mean(0)' },
  { name: 'variance', inputs: [A], run: x => variance(x, 1), torch: 'a.var(1)' },
  { name: 'max', inputs: [COARSE], run: x => max(x, 1), torch: 'a.amax(1)', kinks: true },
  { name: 'min', inputs: [A], run: x => min(x, 0, { keepDims: true }), torch: 'a.amin(0, keepdim=True)' },
  { name: 'argmax', inputs: [COARSE], run: argmax, torch: 'a.argmax(-1)', flat: true },
  {
    name: 'quantile',
    inputs: [{ shape: [3, 7, 587] }],
    run: x => quantile(x, 0.9),
    torch: "a.quantile(0.9, -1, keepdim=True, interpolation='higher')",
    flat: true,
  },
  {
    name: 'quantile of many ties',
    inputs: [COARSE],
    run: x => quantile(x, 0.5),
    torch: "a.quantile(0.5, -1, keepdim=True, interpolation='higher')",
    flat: true,
  },
  { name: 'softmax', inputs: [{ shape: [3, 7, 147] }], run: x => softmax(x), torch: 'a.softmax(-1)' },
  {
    name: 'softmax of another axis',
    inputs: [{ shape: [3, 7, 5] }],
    run: x => softmax(mul(x, 20), 1),
    torch: '(a * 20).softmax(1)',
    tolerance: 1e-5,
    composed: true,
  },
  { name: 'logSoftmax', inputs: [{ shape: [7, 59] }], run: x => logSoftmax(x), torch: 'a.log_softmax(-1)' },
  { name: 'logSumExp', inputs: [{ shape: [7, 59] }], run: x => logSumExp(x), torch: 'a.logsumexp(-1)' },
]

const layout: OpCase[] = [
  { name: 'reshape', inputs: [{ shape: [6, 7, 5] }], run: x => reshape(x, [14, -1]), torch: 'a.reshape(14, -1)' },
  {
    name: 'permute',
    inputs: [{ shape: [3, 5, 7, 4] }],
    run: x => permute(x, [2, 0, 3, 1]),
    torch: 'a.permute(2, 0, 3, 1)',
  },
  { name: 'transpose', inputs: [{ shape: [3, 59, 37] }], run: x => transpose(x), torch: 'a.transpose(-2, -1)' },
  { name: 'slice', inputs: [{ shape: [3, 11, 7] }], run: x => slice(x, 1, 2, -3), torch: 'a[:, 2:-3]' },
  {
    name: 'work on a slice',
    inputs: [{ shape: [3, 11, 7] }],
    run: x => exp(slice(x, 2, 1, 6)),
    torch: 'a[:, :, 1:6].exp()',
    composed: true,
  },
  {
    name: 'reshape of a slice',
    inputs: [{ shape: [3, 11, 7] }],
    run: x => reshape(slice(x, 1, 2, 9), [21, 7]),
    torch: 'a[:, 2:9].reshape(21, 7)',
    composed: true,
  },
  {
    name: 'concat',
    inputs: [{ shape: [3, 2, 5] }, { shape: [3, 4, 5] }, { shape: [3, 1, 5] }],
    run: (a, b, c) => concat([a, b, c], 1),
    torch: 'torch.cat([a, b, c], 1)',
  },
  {
    name: 'stack',
    inputs: [{ shape: [3, 5] }, { shape: [3, 5] }],
    run: (a, b) => stack([a, b], 1),
    torch: 'torch.stack([a, b], 1)',
  },
  {
    name: 'split',
    inputs: [{ shape: [3, 6] }],
    run: x => mul(...(split(x, 2, 1) as [Tensor, Tensor])),
    torch: 'a[:, :3] * a[:, 3:]',
    composed: true,
  },
  {
    name: 'expand',
    inputs: [{ shape: [3, 1, 5] }],
    run: x => contiguous(expand(x, [2, 3, 4, 5])),
    torch: 'a.expand(2, 3, 4, 5)',
    composed: true,
  },
  {
    name: 'squeeze and unsqueeze',
    inputs: [{ shape: [3, 1, 5] }],
    run: x => unsqueeze(squeeze(x, 1), 0),
    torch: 'a.squeeze(1).unsqueeze(0)',
    composed: true,
  },
  {
    name: 'pad',
    inputs: [{ shape: [3, 5] }],
    run: x =>
      pad(
        x,
        [
          [1, 0],
          [2, 3],
        ],
        0.5,
      ),
    torch: 'F.pad(a, (2, 3, 1, 0), value=0.5)',
  },
  {
    name: 'cast to i32',
    inputs: [A],
    run: x => cast(mul(x, 10), 'i32'),
    torch: '(a * 10).trunc()',
    flat: true,
    composed: true,
  },
]

const matrices: OpCase[] = [
  {
    name: 'matmul',
    inputs: [{ shape: [59, 147] }, { shape: [147, 7] }],
    run: (a, b) => matmul(a, b),
    torch: 'a @ b',
    tolerance: 5e-6,
  },
  { name: 'matmul one', inputs: [{ shape: [1, 1] }, { shape: [1, 1] }], run: (a, b) => matmul(a, b), torch: 'a @ b' },
  {
    name: 'matmul batched',
    inputs: [{ shape: [2, 3, 17, 33] }, { shape: [2, 3, 33, 29] }],
    run: (a, b) => matmul(a, b),
    torch: 'a @ b',
    tolerance: 5e-6,
  },
  {
    name: 'matmul broadcast',
    inputs: [{ shape: [2, 1, 7, 5] }, { shape: [3, 5, 4] }],
    run: (a, b) => matmul(a, b),
    torch: 'a @ b',
  },
  {
    name: 'matmul of transposed',
    inputs: [{ shape: [33, 59] }, { shape: [47, 33] }],
    run: (a, b) => matmul(transpose(a), transpose(b)),
    torch: 'a.T @ b.T',
    tolerance: 5e-6,
    composed: true,
  },
  {
    name: 'matmul long',
    inputs: [{ shape: [7, 587] }, { shape: [587, 5] }],
    run: (a, b) => matmul(a, b),
    torch: 'a @ b',
    tolerance: 5e-6,
  },
  {
    name: 'linear',
    inputs: [{ shape: [2, 29, 59] }, { shape: [37, 59] }, { shape: [37] }],
    run: (x, w, b) => linear(x, w, b),
    torch: 'F.linear(a, b, c)',
    tolerance: 5e-6,
  },
  {
    name: 'linear without bias',
    inputs: [{ shape: [59] }, { shape: [7, 59] }],
    run: (x, w) => linear(x, w),
    torch: 'F.linear(a, b)',
    tolerance: 5e-6,
  },
  {
    name: 'linear gelu',
    inputs: [{ shape: [7, 17] }, { shape: [33, 17] }, { shape: [33] }],
    run: (x, w, b) => linear(x, w, b, { activation: 'gelu' }),
    torch: "F.gelu(F.linear(a, b, c), approximate='tanh')",
    tolerance: 5e-6,
  },
  {
    name: 'linear silu',
    inputs: [{ shape: [7, 17] }, { shape: [33, 17] }, { shape: [33] }],
    run: (x, w, b) => linear(x, w, b, { activation: 'silu' }),
    torch: 'F.silu(F.linear(a, b, c))',
    tolerance: 5e-6,
  },
  {
    name: 'linear relu',
    inputs: [{ shape: [7, 17] }, { shape: [33, 17] }],
    run: (x, w) => linear(x, w, undefined, { activation: 'relu' }),
    torch: 'F.linear(a, b).relu()',
    tolerance: 5e-6,
  },
  {
    name: 'linear of a slice',
    inputs: [{ shape: [3, 11, 24] }, { shape: [9, 17] }, { shape: [9] }],
    run: (x, w, b) => linear(slice(slice(x, 2, 3, 20), 1, 2, 9), w, b),
    torch: 'F.linear(a[:, 2:9, 3:20], b, c)',
    tolerance: 5e-6,
    composed: true,
  },
]

/** Products of operands rounded to bf16: steps, so that finite differences say nothing. */
const bf16: OpCase[] = [
  {
    name: 'matmul bf16',
    inputs: [{ shape: [59, 147] }, { shape: [147, 7] }],
    run: (a, b) => matmul(a, b, { computeDtype: 'bf16' }),
    torch: 'bf16_product(a, b)',
    tolerance: 5e-6,
    kinks: true,
  },
  {
    name: 'matmul bf16 broadcast',
    inputs: [{ shape: [2, 1, 7, 5] }, { shape: [3, 5, 4] }],
    run: (a, b) => matmul(a, b, { computeDtype: 'bf16' }),
    torch: 'bf16_product(a, b)',
    kinks: true,
  },
  {
    name: 'matmul bf16 long',
    inputs: [{ shape: [17, 587] }, { shape: [587, 33] }],
    run: (a, b) => matmul(a, b, { computeDtype: 'bf16' }),
    torch: 'bf16_product(a, b)',
    tolerance: 5e-6,
    kinks: true,
  },
  {
    name: 'linear bf16',
    inputs: [{ shape: [2, 29, 59] }, { shape: [37, 59] }, { shape: [37] }],
    run: (x, w, b) => linear(x, w, b, { computeDtype: 'bf16' }),
    torch: 'bf16_product(a, b.T) + c',
    tolerance: 5e-6,
    kinks: true,
  },
  {
    name: 'linear bf16 of a slice',
    inputs: [{ shape: [3, 11, 24] }, { shape: [9, 17] }, { shape: [9] }],
    run: (x, w, b) => linear(slice(slice(x, 2, 3, 20), 1, 2, 9), w, b, { computeDtype: 'bf16' }),
    torch: 'bf16_product(a[:, 2:9, 3:20], b.T) + c',
    tolerance: 5e-6,
    kinks: true,
    composed: true,
  },
  {
    name: 'linear bf16 gelu',
    inputs: [{ shape: [7, 17] }, { shape: [33, 17] }, { shape: [33] }],
    run: (x, w, b) => linear(x, w, b, { activation: 'gelu', computeDtype: 'bf16' }),
    torch: "F.gelu(bf16_product(a, b.T) + c, approximate='tanh')",
    // What was computed before is not the same to the last bit everywhere, and may round to a neighbour. So below.
    tolerance: 4e-3,
    kinks: true,
  },
  {
    name: 'linear bf16 into a gated residual',
    inputs: [{ shape: [3, 7, 17] }, { shape: [33, 17] }, { shape: [33] }, { shape: [3, 7, 33] }, { shape: [3, 6, 33] }],
    run: (x, w, b, residual, modulation) =>
      linear(x, w, b, { computeDtype: 'bf16', into: { residual, modulation, gateIndex: 2 } }),
    torch: 'd + e[:, 2:3] * (bf16_product(a, b.T) + c)',
    tolerance: 4e-3,
    kinks: true,
  },
  {
    name: 'mlp bf16 into a gated residual',
    inputs: [
      { shape: [3, 7, 17] },
      { shape: [59, 17] },
      { shape: [59] },
      { shape: [17, 59] },
      { shape: [17] },
      { shape: [3, 7, 17] },
      { shape: [3, 6, 17] },
    ],
    run: (x, w1, b1, w2, b2, residual, modulation) =>
      mlp(
        x,
        { weight: w1, bias: b1 },
        { weight: w2, bias: b2 },
        { computeDtype: 'bf16', into: { residual, modulation, gateIndex: 5 } },
      ),
    torch: "f + g[:, 5:6] * (bf16_product(F.gelu(bf16_product(a, b.T) + c, approximate='tanh'), d.T) + e)",
    tolerance: 4e-3,
    kinks: true,
  },
]

const branches: OpCase[] = [
  {
    name: 'linear into a gated residual',
    inputs: [{ shape: [3, 7, 17] }, { shape: [33, 17] }, { shape: [33] }, { shape: [3, 7, 33] }, { shape: [3, 6, 33] }],
    run: (x, w, b, residual, modulation) => linear(x, w, b, { into: { residual, modulation, gateIndex: 2 } }),
    torch: 'd + e[:, 2:3] * F.linear(a, b, c)',
    tolerance: 5e-6,
  },
  {
    name: 'linear of a slice into a gated residual, without bias',
    inputs: [{ shape: [3, 9, 24] }, { shape: [33, 17] }, { shape: [3, 7, 33] }, { shape: [3, 6, 33] }],
    run: (x, w, residual, modulation) =>
      linear(slice(slice(x, 2, 3, 20), 1, 2, 9), w, undefined, { into: { residual, modulation, gateIndex: 5 } }),
    torch: 'c + d[:, 5:6] * F.linear(a[:, 2:9, 3:20], b)',
    tolerance: 5e-6,
    composed: true,
  },
  {
    name: 'mlp',
    inputs: [{ shape: [2, 5, 17] }, { shape: [59, 17] }, { shape: [59] }, { shape: [7, 59] }, { shape: [7] }],
    run: (x, w1, b1, w2, b2) => mlp(x, { weight: w1, bias: b1 }, { weight: w2, bias: b2 }),
    torch: "F.linear(F.gelu(F.linear(a, b, c), approximate='tanh'), d, e)",
    tolerance: 5e-6,
  },
  {
    name: 'mlp silu without biases',
    inputs: [{ shape: [9, 17] }, { shape: [59, 17] }, { shape: [7, 59] }],
    run: (x, w1, w2) => mlp(x, { weight: w1 }, { weight: w2 }, { activation: 'silu' }),
    torch: 'F.linear(F.silu(F.linear(a, b)), c)',
    tolerance: 5e-6,
  },
  {
    name: 'mlp relu without a first bias',
    inputs: [{ shape: [9, 17] }, { shape: [59, 17] }, { shape: [7, 59] }, { shape: [7] }],
    run: (x, w1, w2, b2) => mlp(x, { weight: w1 }, { weight: w2, bias: b2 }, { activation: 'relu' }),
    torch: 'F.linear(F.linear(a, b).relu(), c, d)',
    tolerance: 5e-6,
  },
  {
    name: 'mlp into a gated residual',
    inputs: [
      { shape: [3, 7, 17] },
      { shape: [59, 17] },
      { shape: [59] },
      { shape: [17, 59] },
      { shape: [17] },
      { shape: [3, 7, 17] },
      { shape: [3, 6, 17] },
    ],
    run: (x, w1, b1, w2, b2, residual, modulation) =>
      mlp(x, { weight: w1, bias: b1 }, { weight: w2, bias: b2 }, { into: { residual, modulation, gateIndex: 5 } }),
    torch: "f + g[:, 5:6] * F.linear(F.gelu(F.linear(a, b, c), approximate='tanh'), d, e)",
    tolerance: 5e-6,
  },
]

/** Two branches that norm, gate and add to what they branched from, with rows of the modulation in common: gradients meet. */
const meeting: OpCase[] = [
  {
    name: 'modulatedLayerNorm in branches that meet',
    inputs: [{ shape: [3, 7, 17] }, { shape: [3, 6, 17] }, { shape: [17, 17] }],
    run: (x, modulation, w) => {
      const branch = (residual: Tensor, scaleIndex: number) =>
        linear(modulatedLayerNorm(residual, modulation, 0, scaleIndex), w, undefined, {
          into: { residual, modulation, gateIndex: 2 },
        })
      return branch(branch(x, 1), 4)
    },
    torch:
      '(lambda f: f(f(a, 1), 4))(lambda x, s: x + b[:, 2:3] * F.linear(F.layer_norm(x, (17,), eps=1e-6) * (1 + b[:, s:s + 1]) + b[:, 0:1], c))',
    tolerance: 1e-5,
    composed: true,
  },
]

const index: OpCase[] = [
  {
    name: 'embedding',
    inputs: [{ shape: [11, 7] }, { shape: [3, 59], values: 'index', below: 11 }],
    run: embedding,
    torch: 'a[b]',
  },
  {
    name: 'scatterAdd',
    inputs: [{ shape: [5, 7] }, { shape: [59], values: 'index', below: 5 }, { shape: [59, 7] }],
    run: scatterAdd,
    torch: 'a.index_add(0, b, c)',
  },
  {
    name: 'gatherPoints',
    inputs: [{ shape: [3, 11, 7] }, { shape: [3, 5, 4], values: 'index', below: 11 }],
    run: gatherPoints,
    torch: 'torch.stack([x[i] for x, i in zip(a, b)])',
  },
  {
    name: 'gatherPoints without channels',
    inputs: [{ shape: [2, 59] }, { shape: [2, 147], values: 'index', below: 59 }],
    run: gatherPoints,
    torch: 'a.gather(1, b)',
  },
]

const norms: OpCase[] = [
  {
    name: 'layerNorm',
    inputs: [{ shape: [7, 59] }],
    run: x => layerNorm(x, { eps: 1e-6 }),
    torch: 'F.layer_norm(a, (59,), eps=1e-6)',
    tolerance: 5e-6,
  },
  {
    name: 'layerNorm affine',
    inputs: [{ shape: [3, 7, 147] }, { shape: [147] }, { shape: [147] }],
    run: (x, weight, bias) => layerNorm(x, { weight, bias }),
    torch: 'F.layer_norm(a, (147,), b, c)',
    tolerance: 5e-6,
  },
  {
    name: 'layerNorm weight',
    inputs: [{ shape: [7, 59] }, { shape: [59] }],
    run: (x, weight) => layerNorm(x, { weight }),
    torch: 'F.layer_norm(a, (59,), b)',
    tolerance: 5e-6,
  },
  {
    name: 'layerNorm far from zero',
    inputs: [{ shape: [7, 59] }],
    run: x => layerNorm(add(x, 100)),
    torch: 'F.layer_norm(a + 100, (59,))',
    tolerance: 3e-4,
    composed: true,
  },
  {
    name: 'rmsNorm',
    inputs: [{ shape: [7, 59] }, { shape: [59] }],
    run: (x, weight) => rmsNorm(x, { weight, eps: 1e-6 }),
    torch: 'F.rms_norm(a, (59,), b, eps=1e-6)',
    tolerance: 5e-6,
  },
  {
    name: 'rmsNorm plain',
    inputs: [{ shape: [7, 59] }],
    run: x => rmsNorm(x, { eps: 1e-6 }),
    torch: 'F.rms_norm(a, (59,), eps=1e-6)',
    tolerance: 5e-6,
  },
  {
    name: 'modulatedLayerNorm',
    inputs: [{ shape: [3, 7, 59] }, { shape: [3, 6, 59] }],
    run: (x, m) => modulatedLayerNorm(x, m, 3, 4),
    torch: 'F.layer_norm(a, (59,), eps=1e-6) * (1 + b[:, 4:5]) + b[:, 3:4]',
    tolerance: 5e-6,
  },
  {
    name: 'gatedResidual',
    inputs: [{ shape: [3, 7, 59] }, { shape: [3, 6, 59] }, { shape: [3, 7, 59] }],
    run: (x, m, y) => gatedResidual(x, m, 2, y),
    torch: 'a + b[:, 2:3] * c',
  },
]

const losses: OpCase[] = [
  { name: 'mseLoss', inputs: [A, A], run: mseLoss, torch: 'F.mse_loss(a, b)' },
  {
    name: 'crossEntropy',
    inputs: [{ shape: [59, 7] }, { shape: [59], values: 'index', below: 7 }],
    run: crossEntropy,
    torch: 'F.cross_entropy(a, b)',
  },
]

export const OPS: readonly OpCase[] = [
  ...unary,
  ...binary,
  ...reductions,
  ...layout,
  ...matrices,
  ...bf16,
  ...branches,
  ...meeting,
  ...index,
  ...norms,
  ...losses,
]
