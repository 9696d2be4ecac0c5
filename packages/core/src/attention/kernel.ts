// What an attention kernel is: the interface that kernel packages implement and `attention()` dispatches to.
// A kernel is *not* responsible for checking the caller's options, for choosing itself, or for autograd.

import type { Backend, Operand } from '../backend'
import type { ComputeDType, DType } from '../dtype'

/** Changes only when the meaning of something in this file changes; new options are new features instead. */
export const ATTENTION_CONTRACT = 1

/** The options a problem may use. Dispatch rejects a kernel for a problem that uses one it does not list. */
export type AttentionFeature =
  | 'keyMask'
  | 'queryMask'
  | 'keyLengths'
  | 'queryLengths'
  | 'offsets'
  | 'mask'
  | 'bias'
  | 'factoredBias'
  | 'causal'
  | 'dropout'

/** Everything about an attention call except the numbers. Shapes only: equal problems can share a compiled kernel. */
export interface AttentionProblem {
  /** B; the number of samples S when `offsets` is used (q, k, v are then [1, total, H, D]). */
  readonly batch: number
  /** Lq and Lk: tokens per sample, or in total for a packed batch. */
  readonly queryTokens: number
  readonly keyTokens: number
  readonly heads: number
  readonly dim: number
  readonly valueDim: number
  readonly dtype: DType
  /**
   * What products may round their operands to: q, k, v, dOut, weights and score gradients, not what is summed. A kernel may also be more
   * accurate. Absent is 'f32'.
   */
  readonly computeDtype?: ComputeDType
  readonly scale: number
  readonly features: ReadonlySet<AttentionFeature>
  /**
   * 'top-left': j ≤ i. 'bottom-right': j − Lk ≤ i − Lq, with Lq, Lk the padded lengths whatever keyLengths and queryLengths say; in a packed batch the
   * sample's own tokens.
   */
  readonly causal?: 'top-left' | 'bottom-right'
  /** Quantised: a weight is dropped when its 16-bit lane is below this (0 = no dropout). */
  readonly dropoutThreshold: number
  /** [B|1, H|1, Lq|1, Lk|1] */
  readonly maskShape?: readonly [number, number, number, number]
  readonly biasShape?: readonly [number, number, number, number]
  /** R of the factors; they have a batch or head axis of 1 where they are shared. */
  readonly factoredRank?: number
  /** Which gradients backward will be asked for. All false: inference, and `saved` may be empty. */
  readonly gradients: {
    readonly q: boolean
    readonly k: boolean
    readonly v: boolean
    readonly bias: boolean
    readonly factors: boolean
  }
}

/**
 * The tensors of a call, normalised. q, k, v have any strides on their first three axes and stride 1 on the last; all
 * others are contiguous in the shape given. Axes of size 1 broadcast.
 */
export interface AttentionOperands {
  /** [B, Lq, H, D] */
  readonly q: Operand
  /** [B, Lk, H, D] */
  readonly k: Operand
  /** [B, Lk, H, Dv] */
  readonly v: Operand
  /** bool [B, Lk]; in a packed batch [1, Lk]. */
  readonly keyMask?: Operand
  /** bool [B, Lq]; in a packed batch [1, Lq]. */
  readonly queryMask?: Operand
  /** i32 [B], within 0 … Lk, or in a packed batch the sample's tokens (clamped by core). */
  readonly keyLengths?: Operand
  readonly queryLengths?: Operand
  /**
   * i32 [S + 1], ascending from 0 and at most the total (made so by core, which reports what was not): sample s holds the tokens
   * offsets[s] … offsets[s + 1] − 1; tokens behind the last offset belong to no sample.
   */
  readonly queryOffsets?: Operand
  readonly keyOffsets?: Operand
  /** bool, `problem.maskShape`: 1 = may attend. In a packed batch rows and columns count within the whole packing, B is 1. */
  readonly mask?: Operand
  /** float, `problem.biasShape`; may hold −∞. */
  readonly bias?: Operand
  /** [B|1, Lq, H|1, R] */
  readonly factorQuery?: Operand
  /** [B|1, Lk, H|1, R] */
  readonly factorKey?: Operand
  /** i32 [2]: the key words (low, high) of the dropout draw. */
  readonly rngKey?: Operand
  /** The same where the host knows it, for kernels that draw there; others read the operands above. */
  readonly host?: HostOperands
}

/** What the host knows of a call's small integer operands. */
export interface HostOperands {
  readonly rngKey?: { readonly low: number; readonly high: number }
  /** Absent when the offsets were computed on the device. */
  readonly offsets?: { readonly query: Int32Array; readonly key: Int32Array }
}

export type AttentionOutput = 'out' | 'q' | 'k' | 'v' | 'bias' | 'factorQuery' | 'factorKey'

/** What a kernel gets besides the problem. Memory made here is owned by core. */
export interface AttentionContext {
  readonly backend: Backend
  /**
   * Where a result goes: 'out' is [B, Lq, H, Dv]; a gradient has its operand's shape. q, k, v gradients may be strided (views of one packed
   * gradient); all others are contiguous. Content is undefined: the kernel writes every element.
   */
  output(name: AttentionOutput): Operand
  /** A contiguous buffer that lives as long as it is in `saved`, else until the call returns. */
  empty(shape: readonly number[], dtype: DType): Operand
}

export type AttentionGradients = Partial<Record<Exclude<AttentionOutput, 'out'>, Operand>>

export interface AttentionKernel {
  readonly name: string
  readonly contract: number
  readonly features: ReadonlySet<AttentionFeature>
  /** Compile, validate, tune: once, when the device is made. */
  prepare?(backend: Backend): Promise<void>
  supports(problem: AttentionProblem): true | { reason: string }
  forward(
    problem: AttentionProblem,
    operands: AttentionOperands,
    ctx: AttentionContext,
  ): { out: Operand; saved: readonly Operand[] }
  /** Always the kernel that ran forward. Returns exactly the gradients `problem.gradients` names. */
  backward(
    problem: AttentionProblem,
    operands: AttentionOperands,
    saved: readonly Operand[],
    dOut: Operand,
    ctx: AttentionContext,
  ): AttentionGradients
}
