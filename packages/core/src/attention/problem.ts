// From a call's tensors and options to the problem and operands that kernels see.

import type { CallSite } from '../backend'
import { callSite } from '../call-site'
import { hostValues } from '../host-values'
import { requireComputeDType } from '../ops/compute-dtype'
import { keyTensor } from '../ops/random'
import type { Tensor } from '../tensor'
import type { AttentionFeature, AttentionOperands, AttentionProblem } from './kernel'
import {
  checkInputs,
  checkOffsets,
  factors,
  pairOperand,
  type Sizes,
  sampleOffsets,
  tokenLengths,
  tokenMask,
  unitStride,
} from './operands'
import { type AttentionOptions, plainOptions } from './options'

/** `AttentionOperands` as core makes them: every operand is a tensor. */
export type TensorOperands = { readonly [K in keyof Omit<AttentionOperands, 'host'>]: Tensor } & {
  readonly host?: AttentionOperands['host']
}

/** The function the user called: what errors name, and where the stack of a fault begins. */
export interface PublicCall {
  readonly op: string
  readonly caller: (...args: never[]) => unknown
}

/**
 * Checks a call and normalises it. q, k, v may be views; masks of all forms become those of `AttentionOperands`. What only the data can show
 * (lengths, offsets, mask values) is put right on the device and reported at the next read. Throws naming op and operand.
 */
export function normalise(
  { op, caller }: PublicCall,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions,
  gradients: AttentionProblem['gradients'],
): { problem: AttentionProblem; operands: TensorOperands } {
  checkInputs(op, q, k, v)
  const plain = plainOptions(op, options, q.shape[3])
  const { offsets, keyMask, queryMask, keyLengths, queryLengths, mask, bias, factoredBias, rng } = options
  requireComputeDType(op, q.device, options.computeDtype ?? 'f32')
  const samples = offsets && checkOffsets(op, offsets, q)
  const rows = q.shape[0]
  if (offsets && rows !== 1) {
    throw new RangeError(`${op}: a packed batch (offsets) has q of shape [1, total, H, D], got a batch of ${rows}`)
  }
  const sizes: Sizes = {
    op,
    rows,
    batch: samples ?? rows,
    queryTokens: q.shape[1],
    keyTokens: k.shape[1],
    heads: q.shape[2],
    like: q,
  }
  const checksData = offsets || keyMask || queryMask || keyLengths || queryLengths
  const site: CallSite = checksData ? callSite(op, caller) : { op }
  const queryOffsets = offsets && sampleOffsets(sizes, 'query', offsets.query, site)
  const keyOffsets = offsets && sampleOffsets(sizes, 'key', offsets.key, site)
  const pair = factoredBias && factors(sizes, factoredBias)
  const drops = plain.dropoutThreshold > 0
  const operands: TensorOperands = {
    q: unitStride(q),
    k: unitStride(k),
    v: unitStride(v),
    keyMask: keyMask && tokenMask(sizes, 'keyMask', keyMask, site),
    queryMask: queryMask && tokenMask(sizes, 'queryMask', queryMask, site),
    keyLengths: keyLengths && tokenLengths(sizes, 'keyLengths', keyLengths, keyOffsets, site),
    queryLengths: queryLengths && tokenLengths(sizes, 'queryLengths', queryLengths, queryOffsets, site),
    queryOffsets,
    keyOffsets,
    mask: mask && pairOperand(sizes, 'mask', mask),
    bias: bias && pairOperand(sizes, 'bias', bias),
    factorQuery: pair?.query,
    factorKey: pair?.key,
    rngKey: drops && rng ? keyTensor(q.device, rng) : undefined,
    host: drops || offsets ? { rngKey: drops ? rng : undefined, offsets: hostOffsets(offsets) } : undefined,
  }
  const problem: AttentionProblem = {
    batch: sizes.batch,
    queryTokens: sizes.queryTokens,
    keyTokens: sizes.keyTokens,
    heads: sizes.heads,
    dim: q.shape[3],
    valueDim: v.shape[3],
    dtype: q.dtype,
    computeDtype: options.computeDtype,
    scale: plain.scale,
    features: featuresOf(operands, plain.causal !== undefined),
    causal: plain.causal,
    dropoutThreshold: plain.dropoutThreshold,
    maskShape: operands.mask && quad(operands.mask.shape),
    biasShape: operands.bias && quad(operands.bias.shape),
    factoredRank: pair?.rank,
    gradients,
  }
  return { problem, operands }
}

function quad(shape: readonly number[]): [number, number, number, number] {
  return [shape[0], shape[1], shape[2], shape[3]]
}

function hostOffsets(offsets: AttentionOptions['offsets']): { query: Int32Array; key: Int32Array } | undefined {
  const query = offsets && hostValues(offsets.query)
  const key = offsets && hostValues(offsets.key)
  return query && key && { query, key }
}

function featuresOf(operands: TensorOperands, causal: boolean): ReadonlySet<AttentionFeature> {
  const used: Partial<Record<AttentionFeature, unknown>> = {
    keyMask: operands.keyMask,
    queryMask: operands.queryMask,
    keyLengths: operands.keyLengths,
    queryLengths: operands.queryLengths,
    offsets: operands.keyOffsets,
    mask: operands.mask,
    bias: operands.bias,
    factoredBias: operands.factorKey,
    causal,
    dropout: operands.rngKey,
  }
  return new Set((Object.keys(used) as AttentionFeature[]).filter(feature => used[feature]))
}
