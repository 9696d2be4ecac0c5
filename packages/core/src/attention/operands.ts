// Checks the tensors of an attention call and brings them into the one form that kernels see.

import type { CallSite } from '../backend'
import { isFloat } from '../dtype'
import { dense } from '../ops/layout'
import { checkTensor } from '../ops/operands'
import { run, runProgram } from '../ops/run-program'
import { type ProgramBuilder, program, type Value } from '../program'
import { contiguousStrides, type Shape, sameShape, showShape } from '../shape'
import { type Tensor, viewOf } from '../tensor'

/** What the checks of the other operands need to know about q, k and v. */
export interface Sizes {
  readonly op: string
  /** Axis 0 of q, k and v. */
  readonly rows: number
  /** B; S in a packed batch. */
  readonly batch: number
  readonly queryTokens: number
  readonly keyTokens: number
  readonly heads: number
  /** q, for its device and dtype. */
  readonly like: Tensor
}

function checkOperand(op: string, name: string, value: unknown, like: Tensor): asserts value is Tensor {
  checkTensor(op, name, value)
  if (value.device !== like.device) {
    throw new TypeError(
      `${op}: ${name} is on device ${value.device.name} but q is on ${like.device.name}; copy it with device.tensor(await t.data(), t.shape)`,
    )
  }
}

/** As the contract wants q, k and v: stride 1 on the last axis, any strides before it. */
export function unitStride(x: Tensor): Tensor {
  const last = x.rank - 1
  if (x.strides[last] === 1) return x
  return x.shape[last] === 1 ? viewOf(x, x.shape, [...x.strides.slice(0, last), 1]) : dense(x)
}

function reshaped(x: Tensor, shape: Shape): Tensor {
  return viewOf(dense(x), shape, contiguousStrides(shape))
}

/** Whether an entry is set, and whether it is 0 or 1. */
const MASK = program('attention mask', 1, 0, (b, x) => {
  const zero = b.constant(0)
  return [b.ne(x, zero), b.or(b.eq(x, zero), b.eq(x, b.constant(1)))]
})

/** keyMask or queryMask as bool [rows, L]. */
export function tokenMask(sizes: Sizes, name: 'keyMask' | 'queryMask', value: Tensor, site: CallSite): Tensor {
  const { op, rows, like } = sizes
  const [what, tokens] = name === 'keyMask' ? ['key', sizes.keyTokens] : ['query', sizes.queryTokens]
  checkOperand(op, name, value, like)
  const { shape } = value
  const flat = [rows, tokens]
  const fits = sameShape(shape, flat) || (name === 'keyMask' && sameShape(shape, [rows, 1, tokens]))
  if (!fits) {
    const also = name === 'keyMask' ? ` or [${rows}, 1, ${tokens}]` : ''
    throw new RangeError(
      `${op}: ${name} has shape ${showShape(shape)} but ${what} has ${tokens} tokens (expected ${showShape(flat)}${also})`,
    )
  }
  const mask = reshaped(value, flat)
  if (value.dtype === 'bool') return mask
  const [set, valid] = runProgram(MASK, [mask], [], [{ dtype: 'bool' }, { dtype: 'bool' }])
  like.device.backend.check(
    valid,
    site,
    `${name} holds a value that is neither 0 nor 1 (1 = takes part; an additive mask of 0 and −Infinity is a bias)`,
  )
  return set
}

/** A length clamped to the tokens there are, and whether it was among them. */
const clampLength = (b: ProgramBuilder, length: Value, tokens: Value) => {
  const zero = b.constant(0)
  return [b.min(b.max(length, zero), tokens), b.and(b.le(zero, length), b.le(length, tokens))]
}
const LENGTH = program('attention length', 1, 1, clampLength)
const PACKED_LENGTH = program('attention length', 3, 0, (b, length, first, last) =>
  clampLength(b, length, b.sub(last, first)),
)

/** keyLengths or queryLengths, clamped to the tokens of each sample; what had to be clamped is reported. */
export function tokenLengths(
  sizes: Sizes,
  name: 'keyLengths' | 'queryLengths',
  value: Tensor,
  offsets: Tensor | undefined,
  site: CallSite,
): Tensor {
  const { op, batch, like } = sizes
  const tokens = name === 'keyLengths' ? sizes.keyTokens : sizes.queryTokens
  checkOperand(op, name, value, like)
  if (value.dtype !== 'i32') throw new TypeError(`${op}: ${name} is ${value.dtype} (expected i32)`)
  if (!sameShape(value.shape, [batch])) {
    throw new RangeError(`${op}: ${name} has shape ${showShape(value.shape)} (expected [${batch}], one per sample)`)
  }
  const outputs = [{ dtype: 'i32' }, { dtype: 'bool' }] as const
  const given = dense(value)
  const [lengths, valid] = offsets
    ? runProgram(
        PACKED_LENGTH,
        [given, viewOf(offsets, [batch], [1]), viewOf(offsets, [batch], [1], offsets.byteOffset + 4)],
        [],
        outputs,
      )
    : runProgram(LENGTH, [given], [tokens], outputs)
  like.device.backend.check(
    valid,
    site,
    `${name} holds a length below 0 or above the ${offsets ? 'tokens of its sample' : `${tokens} tokens there are`}; it was clamped`,
  )
  return lengths
}

/** Over [S + 1, S + 1]: the largest offset up to each, within 0 … total, and 0 at first: ascending whatever came in. */
const ASCENDING = program('attention offsets', 3, 1, (b, offset, index, other, total) => {
  const zero = b.constant(0)
  const largest = b.rowMax(b.select(b.le(other, index), b.max(offset, zero), zero))
  return b.select(b.eq(index, zero), zero, b.min(largest, total))
})
const UNCHANGED = program('attention offsets check', 2, 0, (b, x, y) => b.eq(x, y))

/** One side's offsets, made ascending from 0 and at most `total`; what was not so is reported. */
export function sampleOffsets(sizes: Sizes, name: 'query' | 'key', value: Tensor, site: CallSite): Tensor {
  const { op, like } = sizes
  const total = name === 'key' ? sizes.keyTokens : sizes.queryTokens
  const { device } = like
  const n = value.shape[0]
  const given = dense(value)
  const other = device.arange(n)
  const ascending = device.empty([n, 1], { dtype: 'i32' })
  const { constants } = ASCENDING
  device.backend.elementwise(
    ASCENDING,
    [n, n],
    [viewOf(given, [1, n], [n, 1]), viewOf(other, [n, 1], [1, 1]), viewOf(other, [1, n], [n, 1])],
    [total, ...constants],
    [ascending],
  )
  const offsets = viewOf(ascending, [n], [1])
  device.backend.check(
    run(UNCHANGED, [given, offsets], [], 'bool'),
    site,
    `offsets.${name} must ascend from 0 to at most ${total}, the tokens of ${name}, and do not (called with ${op})`,
  )
  return offsets
}

/** Shapes of offsets; throws unless there is one list of at least one sample per side. */
export function checkOffsets(op: string, value: { query: Tensor; key: Tensor }, like: Tensor): number {
  for (const name of ['query', 'key'] as const) {
    const offsets = value[name]
    checkOperand(op, `offsets.${name}`, offsets, like)
    if (offsets.dtype !== 'i32') throw new TypeError(`${op}: offsets.${name} is ${offsets.dtype} (expected i32)`)
    if (offsets.rank !== 1 || offsets.shape[0] < 2) {
      throw new RangeError(
        `${op}: offsets.${name} has shape ${showShape(offsets.shape)} (expected [S + 1] for S ≥ 1 samples)`,
      )
    }
  }
  const [query, key] = [value.query.shape[0], value.key.shape[0]]
  if (query !== key) {
    throw new RangeError(`${op}: offsets.query has ${query} entries but offsets.key ${key} (expected the same S + 1)`)
  }
  return query - 1
}

/** mask or bias as [B|1, H|1, Lq|1, Lk|1], row-major. */
export function pairOperand(sizes: Sizes, name: 'mask' | 'bias', value: Tensor): Tensor {
  const { op, rows, heads, queryTokens, keyTokens, like } = sizes
  checkOperand(op, name, value, like)
  const expected = name === 'mask' ? 'bool' : like.dtype
  if (value.dtype !== expected) {
    const hint =
      name === 'mask'
        ? 'a float mask to be added is a bias; a bool one is true where a pair takes part'
        : `use cast(bias, '${expected}')`
    throw new TypeError(`${op}: ${name} is ${value.dtype} (expected ${expected}: ${hint})`)
  }
  const full = [rows, heads, queryTokens, keyTokens]
  const { shape } = value
  const forms = name === 'mask' ? '[Lq, Lk], [B, Lq, Lk] or [B, H, Lq, Lk]' : '[Lq, Lk] or [B, H, Lq, Lk]'
  const target =
    shape.length === 2
      ? [1, 1, ...shape]
      : shape.length === 3 && name === 'mask'
        ? [shape[0], 1, shape[1], shape[2]]
        : shape.length === 4
          ? [...shape]
          : undefined
  if (!target || target.some((n, axis) => n !== 1 && n !== full[axis])) {
    const hint =
      name === 'bias' && shape.length === 3 ? '; a bias per head is [1, H, Lq, Lk], one per sample [B, 1, Lq, Lk]' : ''
    throw new RangeError(
      `${op}: ${name} has shape ${showShape(shape)} (expected ${forms} with B, H, Lq, Lk = ${full.join(', ')} or 1${hint})`,
    )
  }
  return reshaped(value, target)
}

/** The two factors, row-major; returns the rank R too. */
export function factors(
  sizes: Sizes,
  value: { query: Tensor; key: Tensor },
): { query: Tensor; key: Tensor; rank: number } {
  const { op, rows, heads, like } = sizes
  for (const name of ['query', 'key'] as const) {
    const factor = value[name]
    const tokens = name === 'query' ? sizes.queryTokens : sizes.keyTokens
    checkOperand(op, `factoredBias.${name}`, factor, like)
    if (factor.dtype !== like.dtype) {
      throw new TypeError(`${op}: factoredBias.${name} is ${factor.dtype} (expected ${like.dtype}, as q)`)
    }
    const [b, n, h, r] = factor.shape
    const fits = factor.rank === 4 && (b === rows || b === 1) && n === tokens && (h === heads || h === 1) && r >= 1
    if (!fits) {
      throw new RangeError(
        `${op}: factoredBias.${name} has shape ${showShape(factor.shape)} (expected [${rows} or 1, ${tokens}, ${heads} or 1, R])`,
      )
    }
  }
  const [query, key] = [value.query.shape[3], value.key.shape[3]]
  if (query !== key) {
    throw new RangeError(
      `${op}: factoredBias.query has rank ${query} but factoredBias.key ${key} (expected the same R)`,
    )
  }
  return { query: dense(value.query), key: dense(value.key), rank: query }
}

function checkInput(op: string, name: string, x: Tensor, q: Tensor): void {
  checkOperand(op, name, x, q)
  if (!isFloat(x.dtype)) throw new TypeError(`${op}: ${name} is ${x.dtype} (expected a float dtype)`)
  if (x.dtype !== q.dtype)
    throw new TypeError(`${op}: ${name} is ${x.dtype} but q is ${q.dtype}; use cast(${name}, '${q.dtype}')`)
  if (x.rank !== 4) {
    throw new RangeError(`${op}: ${name} has shape ${showShape(x.shape)} (expected [batch, tokens, heads, head dim])`)
  }
}

/** Shapes, dtypes and devices of q, k and v. */
export function checkInputs(op: string, q: Tensor, k: Tensor, v: Tensor): void {
  checkTensor(op, 'q', q)
  checkInput(op, 'q', q, q)
  checkInput(op, 'k', k, q)
  checkInput(op, 'v', v, q)
  const { 0: batch, 2: heads, 3: dim } = q.shape
  if (dim === 0) throw new RangeError(`${op}: q has shape ${showShape(q.shape)}: the head dim must be at least 1`)
  if (k.shape[0] !== batch || k.shape[2] !== heads || k.shape[3] !== dim) {
    throw new RangeError(
      `${op}: k has shape ${showShape(k.shape)} but q ${showShape(q.shape)} (expected [${batch}, Lk, ${heads}, ${dim}])`,
    )
  }
  if (v.shape[0] !== batch || v.shape[1] !== k.shape[1] || v.shape[2] !== heads) {
    throw new RangeError(
      `${op}: v has shape ${showShape(v.shape)} but k ${showShape(k.shape)} (expected [${batch}, ${k.shape[1]}, ${heads}, Dv])`,
    )
  }
}
