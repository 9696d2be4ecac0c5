// What can be measured, in words that ditkit and every peer understand: a problem is sent to peers as JSON.

/** x [m, k] times the transpose of a weight [n, k]: what a linear layer does. Timed per product. */
export interface GemmProblem {
  readonly kind: 'gemm'
  readonly m: number
  readonly n: number
  readonly k: number
}

/** Attention over [B, N, H, D]; with `backward`, also the gradients of q, k, v and of the bias or its factors. */
export interface AttentionProblem {
  readonly kind: 'attention'
  readonly batch: number
  readonly heads: number
  readonly queries: number
  readonly keys: number
  readonly dim: number
  readonly backward: boolean
  /** [1, 1, Lq, Lk], or rank-`rank` factors, the same for all heads or one pair per head. */
  readonly bias: 'none' | 'dense' | 'shared factors' | 'factors per head'
  readonly rank?: number
  /** How many keys of each sample are valid. */
  readonly lengths?: readonly number[]
  /** For PyTorch with factors: also pads v to the width of q and k, which its fused kernel asks for. */
  readonly padValues?: boolean
}

/** One training step of a DiT: forward, mean squared error, backward, gradients clipped to norm 1, AdamW. */
export interface StepProblem {
  readonly kind: 'step'
  readonly batch: number
  readonly size: number
  readonly patch: number
  readonly channels: number
  readonly classes: number
  readonly width: number
  readonly depth: number
  readonly heads: number
  /** bf16: products in it, f32 parameters and optimizer; PyTorch's autocast. */
  readonly dtype: 'f32' | 'bf16'
  /** PyTorch only: torch.compile of the model. */
  readonly compile?: boolean
}

export type OpName = 'add' | 'mul' | 'gelu' | 'softmax' | 'layerNorm' | 'sum'

/** One op over [rows, columns], f32; with `tape`, its operands want gradients. Timed per op. */
export interface OpProblem {
  readonly kind: 'op'
  readonly op: OpName
  readonly rows: number
  readonly columns: number
  readonly tape: boolean
}

/** Points chosen from clouds in the unit cube: `count` farthest, or the `count` nearest of each of `queries`, in the ball of `BALL_RADIUS` or anywhere. */
export interface PointsProblem {
  readonly kind: 'points'
  readonly op: 'farthest' | 'nearest' | 'ball'
  readonly batch: number
  readonly points: number
  readonly queries: number
  readonly count: number
  /** ditkit only: the functions on typed arrays, which take no device. */
  readonly host?: boolean
}

/** One epoch of a data loader over scenes in memory, points and normals of 500 to 20,000 points each, padded, with masks. */
export interface CollateProblem {
  readonly kind: 'collate'
  readonly scenes: number
  readonly batch: number
  /** 0: in the calling thread. */
  readonly workers: number
}

/** As in torch_peer.py. */
export const BALL_RADIUS = 0.1

export type Problem = GemmProblem | AttentionProblem | StepProblem | OpProblem | PointsProblem | CollateProblem

/** Floating-point operations of one run, a multiply-add being two; undefined where no rate is customary. */
export function flopsOf(problem: Problem): number | undefined {
  if (problem.kind === 'gemm') return 2 * problem.m * problem.n * problem.k
  if (problem.kind !== 'attention') return undefined
  const { batch, heads, queries, keys, dim, backward, lengths } = problem
  const valid = lengths ? lengths.reduce((sum, length) => sum + length, 0) : batch * keys
  // Two products forward; five more backward, which computes the scores again.
  return 2 * (backward ? 7 : 2) * heads * queries * valid * dim
}

/** Bytes that an op reads and writes at least. */
export function bytesOf(problem: Problem): number | undefined {
  if (problem.kind !== 'op') return undefined
  const { op, rows, columns } = problem
  const tensors = op === 'add' || op === 'mul' ? 3 : op === 'sum' ? 1 : 2
  return 4 * tensors * rows * columns
}

/**
 * How often a run repeats the problem, back to back as in a step, so that it takes long enough to be timed: a few tens of milliseconds,
 * products at 600 GFLOP/s 50. The same for every side; what is slower runs longer.
 */
export function repeatsOf(problem: Problem, slowdown = 1): number {
  if (problem.kind === 'collate') return 1
  if (problem.kind === 'op') {
    const seconds = 4e-6 + (bytesOf(problem) ?? 0) / 20e9
    return Math.max(1, Math.round(Math.min(20_000, 0.04 / seconds) / slowdown))
  }
  if (problem.kind === 'step') {
    // A small model's step is over before threads and compilers are as they are in training.
    const { batch, size, patch, width, depth } = problem
    return Math.max(1, Math.round(Math.min(10, 1e9 / (batch * (size / patch) ** 2 * width ** 2 * depth)) / slowdown))
  }
  if (problem.kind === 'points') {
    const { batch, points, queries, count } = problem
    const distances = batch * points * (queries || count)
    return Math.max(1, Math.round(Math.min(1000, 2e8 / distances) / slowdown))
  }
  const flops = flopsOf(problem) ?? 1e10
  const wanted = problem.kind === 'gemm' ? 3e10 : 1e10
  return Math.max(1, Math.round(Math.min(1000, wanted / flops) / slowdown))
}
