// The options of attention, and the checks that need no tensor.

import type { ComputeDType } from '../dtype'
import { dropoutThreshold, RngKey } from '../random'
import type { Tensor } from '../tensor'

/** Masks of all kinds intersect; in every one, 1 or true means "takes part". */
export interface AttentionOptions {
  /** Factor on q·k; default 1/sqrt(D). */
  readonly scale?: number
  /** [B, Lk] or [B, 1, Lk]: 1 = valid, 0 = padding; bool, or i32 or float holding 0 and 1. [1, total] in a packed batch. */
  readonly keyMask?: Tensor
  /** [B, Lq]: 0 = padding; such a row gives output 0 and takes part in nothing. */
  readonly queryMask?: Tensor
  /** i32 [B]: the first n keys (of each sample, in a packed batch) are valid. */
  readonly keyLengths?: Tensor
  /** i32 [B]. */
  readonly queryLengths?: Tensor
  /** A packed batch: i32 [S + 1] each, ascending from 0; q is [1, total, H, D] and sample s attends only within itself. */
  readonly offsets?: { readonly query: Tensor; readonly key: Tensor }
  /** bool, broadcastable to [B, H, Lq, Lk]; [Lq, Lk] and [B, Lq, Lk] too. */
  readonly mask?: Tensor
  /** Float, broadcastable to [B, H, Lq, Lk]; [Lq, Lk] too. Added to the scaled scores; −Infinity excludes. */
  readonly bias?: Tensor
  /** [B|1, Lq, H|1, R] and [B|1, Lk, H|1, R]: adds Σ_r query·key, unscaled. */
  readonly factoredBias?: { readonly query: Tensor; readonly key: Tensor }
  /** true = 'top-left', as in PyTorch; 'bottom-right' aligns the last query with the last key. */
  readonly causal?: boolean | 'top-left' | 'bottom-right'
  /** Probability of dropping a weight; above 0 it needs `rng`. */
  readonly dropout?: number
  readonly rng?: RngKey
  /**
   * 'bf16': products may round their operands to it, forward and backward, where that is faster; sums, softmax and its statistics stay f32.
   * Default 'f32'.
   */
  readonly computeDtype?: ComputeDType
  /** 'auto' (the default), or the name of the kernel to use. */
  readonly kernel?: 'auto' | 'chunked' | 'standard' | (string & {})
}

const KNOWN: Record<keyof AttentionOptions, true> = {
  scale: true,
  keyMask: true,
  queryMask: true,
  keyLengths: true,
  queryLengths: true,
  offsets: true,
  mask: true,
  bias: true,
  factoredBias: true,
  causal: true,
  dropout: true,
  rng: true,
  computeDtype: true,
  kernel: true,
}

/** What the options say without tensors. */
export interface PlainOptions {
  readonly scale: number
  readonly causal: 'top-left' | 'bottom-right' | undefined
  readonly dropoutThreshold: number
}

/** Checks names and numbers; `dim` gives the default scale. */
export function plainOptions(op: string, options: AttentionOptions, dim: number): PlainOptions {
  for (const name of Object.keys(options)) {
    if (!(name in KNOWN)) {
      throw new TypeError(`${op}: there is no option ${name} (expected one of ${Object.keys(KNOWN).join(', ')})`)
    }
  }
  const { scale = 1 / Math.sqrt(dim), causal = false, dropout = 0, rng, kernel } = options
  if (typeof scale !== 'number' || !Number.isFinite(scale)) {
    throw new RangeError(`${op}: scale is ${scale} (expected a finite number)`)
  }
  if (typeof causal !== 'boolean' && causal !== 'top-left' && causal !== 'bottom-right') {
    throw new TypeError(
      `${op}: causal is ${JSON.stringify(causal)} (expected true, false, 'top-left' or 'bottom-right')`,
    )
  }
  if (kernel !== undefined && typeof kernel !== 'string') {
    throw new TypeError(`${op}: kernel is ${typeof kernel} (expected 'auto' or the name of a kernel)`)
  }
  if (rng !== undefined && !(rng instanceof RngKey)) {
    throw new TypeError(`${op}: rng is ${typeof rng} (expected an RngKey; make one with rngKey(seed))`)
  }
  return {
    scale,
    causal: causal === true ? 'top-left' : causal === false ? undefined : causal,
    dropoutThreshold: checkedThreshold(op, dropout, rng),
  }
}

function checkedThreshold(op: string, dropout: number, rng: RngKey | undefined): number {
  const threshold = dropoutThreshold(dropout)
  if (!(dropout >= 0) || threshold >= 65536) {
    throw new RangeError(`${op}: dropout is ${dropout} (expected 0 ≤ dropout < 1, in steps of 1/65536)`)
  }
  if (dropout > 0 && !rng) {
    throw new TypeError(`${op}: dropout is ${dropout} but there is no key to draw it from (pass rng: rngKey(seed))`)
  }
  return threshold
}
