// The interface a device implements: memory and about 25 primitives. It is *not* responsible for autograd, broadcasting
// rules, dtype checks, reference counts or error messages about shapes: core has done all that before a primitive is
// called. A backend enqueues and returns; only `read` and `sync` wait.

import type { AttentionKernel } from './attention/kernel'
import type { ComputeDType, DType } from './dtype'
import type { Program } from './program'

/** What a backend gave out for `alloc`; opaque to core. */
export type BufferHandle = unknown

/** A reference-counted piece of device memory. `version` counts in-place writes. */
export interface StorageRef {
  readonly handle: BufferHandle
  readonly bytes: number
}

/** A strided view of device memory. A `Tensor` is one. Strides count elements and may be 0 (broadcast). */
export interface Operand {
  readonly storage: StorageRef
  readonly byteOffset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  readonly dtype: DType
}

export type Activation = 'none' | 'gelu' | 'silu' | 'relu'

/** How a matrix product computes, and what it does before it stores. `value` is alpha·a·b (+ bias). */
export interface MatmulEpilogue {
  /** Absent is 'f32'. Else one of the backend's `computeDtypes`: a and b, and nothing else, are rounded to it. */
  readonly computeDtype?: ComputeDType
  /** [N], added to every row. */
  readonly bias?: Operand
  readonly activation?: Activation
  /** Shape of out: receives the value before the activation. */
  readonly preActivation?: Operand
  /** Shape of out: receives the activation's derivative at the value; what the gradient is multiplied by. */
  readonly slope?: Operand
  /** out = residual + gate·activation(value); gate broadcastable to out ([B, 1, N] for out [B, M, N]), residual of out's shape. Either may be absent. */
  readonly gate?: Operand
  readonly residual?: Operand
  readonly alpha?: number
  /** Adds to what `out` holds instead of overwriting it. */
  readonly accumulate?: boolean
}

export type ReduceKind = 'sum' | 'max' | 'min'
export type RandomKind = 'uniform' | 'normal' | 'bits'

/** Where a fault that only the data shows is reported: op name, and the stack of the call. */
export interface CallSite {
  readonly op: string
  readonly stack?: string
}

export interface AdamWTensors {
  readonly parameter: Operand
  readonly gradient: Operand
  readonly firstMoment: Operand
  readonly secondMoment: Operand
  /** Exponential moving average of the parameter, updated in the same pass. */
  readonly average?: Operand
  /** 0 for parameters without weight decay. */
  readonly decayScale: number
  readonly lrScale: number
}

/** How a backend multiplies in a dtype narrower than f32. */
export interface ComputeSupport {
  /** The instruction that does it, for people. Absent: emulated, by rounding the operands and multiplying in f32: right, and no faster. */
  readonly instruction?: string
}

export interface BackendMemory {
  /** Bytes handed out and not freed. */
  readonly liveBytes: number
  readonly peakBytes: number
  /** Freed bytes the allocator keeps for reuse. */
  readonly cachedBytes: number
  /** What kernels keep for their next call, scratch memory and packed weights, beside the above. Backends that have none leave it out. */
  readonly workspaceBytes?: number
}

export interface Backend {
  /** 'reference', 'cpu', 'cuda', 'webgpu'. */
  readonly name: string
  /** One line for people: processor or GPU, instruction set, threads. */
  readonly description: string
  /** The dtypes tensors may have here; the first float one is what `device.tensor` takes by default. */
  readonly dtypes: readonly DType[]
  /** What `matmul` can round its operands to; core refuses the rest. */
  readonly computeDtypes?: { readonly [dtype in Exclude<ComputeDType, 'f32'>]?: ComputeSupport }
  /** Attention kernels of the device, best first; `chunked` and `standard` of core follow. */
  readonly attentionKernels: readonly AttentionKernel[]

  // ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Content is undefined. Throws an Error naming the bytes when there is no memory. `bytes` may be 0. */
  alloc(bytes: number): BufferHandle
  /** Ordered in the queue: work enqueued before still sees the memory. */
  free(handle: BufferHandle): void
  /** Copies `data` before it returns. */
  write(storage: StorageRef, byteOffset: number, data: Uint8Array): void
  /** Resolves with a copy once all work enqueued before has run; rejects with the first fault of that work. */
  read(storage: StorageRef, byteOffset: number, bytes: number): Promise<Uint8Array>
  /** Resolves once all work enqueued before has run; rejects with the first fault. */
  sync(): Promise<void>
  memory(): BackendMemory
  /** Gives cached memory back to the system. */
  trim(): void
  /** Frees everything; later calls throw. */
  dispose(): void

  // ── primitives (outputs are contiguous unless said otherwise, never overlap inputs unless said otherwise) ─────
  /** Strided copy with dtype conversion; `dst` may be strided too. Float to bool is ≠ 0; float to i32 truncates. */
  copy(src: Operand, dst: Operand): void
  /** `dst` may be strided. */
  fill(dst: Operand, value: number): void
  /** i, i+1, …: dst[k] = start + k·step. */
  iota(dst: Operand, start: number, step: number): void
  /** Counter-based: element k of `dst` depends on (key, k) alone; formulas in random/philox.ts. `key` is i32 [2]. */
  random(dst: Operand, key: Operand, kind: RandomKind): void
  /**
   * Runs a program over the broadcast `shape`. An operand's shape is broadcastable to `shape` (aligned right). An
   * output has either `shape`, or `shape` with its last axis 1 (then its register must be constant along rows, and is
   * stored once). Outputs may be the same memory as an input of identical shape and strides.
   */
  elementwise(
    program: Program,
    shape: readonly number[],
    inputs: readonly Operand[],
    scalars: readonly number[],
    outputs: readonly Operand[],
  ): void
  /** `dst` has `src`'s shape with 1 at every reduced axis (axes of size 0 give 0, −∞, ∞). Summation order is fixed by shape. */
  reduce(kind: ReduceKind, src: Operand, dst: Operand, accumulate: boolean): void
  /** Index (i32) of the first maximum along the last axis; a NaN counts as the maximum. dst has src's shape with last axis 1. */
  argmax(src: Operand, dst: Operand): void
  /** a [..., M, K] · b [..., K, N] → out [..., M, N]; batch axes broadcast; any strides on a and b (transposes are strides). */
  matmul(a: Operand, b: Operand, out: Operand, epilogue?: MatmulEpilogue): void
  /**
   * dst[i, …] = table[index[i], …] for table [V, …rest], index i32 [n], dst [n, …rest]. An index outside [0, V) is
   * clamped and reported against `site` at the next read or sync.
   */
  gather(table: Operand, index: Operand, dst: Operand, site: CallSite): void
  /** dst[index[i], …] += src[i, …], in order of i; out of range indices are clamped and reported. */
  scatterAdd(dst: Operand, index: Operand, src: Operand, site: CallSite): void
  /** Reports `message` against `site` at the next read or sync when any element of `condition` (bool) is 0. */
  check(condition: Operand, site: CallSite, message: string): void
  /**
   * Farthest-point sampling of points f32 [B, P, 3] where mask (bool [B, P]) is 1; those are finite, and what is 0 is not read. indices i32 [B, count]
   * in the order chosen, valid bool [B, count]; both 0 in the slots beyond the points there are. What is chosen is exactly what
   * points/farthest.ts chooses: distances are (dx·dx + dy·dy) + dz·dz in f32 without fused multiply-adds, the start and ties as there.
   */
  farthestPoints(points: Operand, mask: Operand, indices: Operand, valid: Operand): void
  /**
   * Per query f32 [B, Q, 3] whose queryMask is 1 the nearest points [B, P, 3] of mask 1, at most `maxSquaredDistance` (f32) away: indices i32,
   * squaredDistances f32, valid bool, all [B, Q, count], nearest first, 0 in the slots beyond. Exactly as points/nearest.ts.
   */
  nearestPoints(
    queries: Operand,
    points: Operand,
    queryMask: Operand,
    mask: Operand,
    maxSquaredDistance: number,
    indices: Operand,
    squaredDistances: Operand,
    valid: Operand,
  ): void

  // ── fused primitives; optional: core composes what a backend lacks ────────────────────────────────────────────
  /**
   * Layer norm over the last axis C without affine, then x̂·(1 + scale) + shift. x [B, N, C] (any strides on the first two), shift and scale
   * broadcastable to [B, N, C] (usually [B, 1, C] views of a packed modulation) or absent. mean, rstd: [B, N, 1], stored for the gradient.
   */
  layerNorm?(
    x: Operand,
    shift: Operand | undefined,
    scale: Operand | undefined,
    eps: number,
    out: Operand,
    mean: Operand,
    rstd: Operand,
  ): void
  /**
   * Gradients of `layerNorm`. dShift, dScale [B, 1, C] (may be strided views), summed over N; added to what they hold with `accumulate`,
   * else overwritten. `residual` [B, N, C] is added to dx, and may be dx itself.
   */
  layerNormBackward?(
    x: Operand,
    scale: Operand | undefined,
    mean: Operand,
    rstd: Operand,
    dOut: Operand,
    dx: Operand | undefined,
    dShift: Operand | undefined,
    dScale: Operand | undefined,
    options?: { readonly residual?: Operand; readonly accumulate?: boolean },
  ): void
  /**
   * Gradients of residual + gate·y: dy = gate·dOut, dGate [B, 1, C] = Σ_N y·dOut (may be a strided view; added to what it holds
   * with `accumulate`), dBias [C] = Σ_B Σ_N dy.
   */
  gatedResidualBackward?(
    y: Operand,
    gate: Operand,
    dOut: Operand,
    dy: Operand | undefined,
    dGate: Operand | undefined,
    dBias: Operand | undefined,
    options?: { readonly accumulate?: boolean },
  ): void
  /**
   * AdamW over many tensors in one pass, in place, with clipping by global norm and EMA. `scalars` is f32 [8] on the device:
   * lr, beta1, beta2, eps, weightDecay, 1−beta1^t, 1−beta2^t, emaDecay. `norm` f32 [2] receives the global gradient norm and 1 when the
   * step was taken (0 when the norm was not finite: then nothing is changed). maxNorm ≤ 0 means no clipping.
   */
  adamw?(tensors: readonly AdamWTensors[], scalars: Operand, maxNorm: number, norm: Operand): void
}
