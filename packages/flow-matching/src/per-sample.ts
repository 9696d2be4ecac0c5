// Coefficients that are functions of time, as numbers or as tensors that broadcast over a batch.

import { add, mul, scope, type Tensor } from '@ditkit/core'

/** fn(t) for one time, or a tensor [B, 1, …] of fn(t[i]) that multiplies x [B, …]. Evaluated in float64. */
function perSample(x: Tensor, t: number | ArrayLike<number>, fn: (t: number) => number): Tensor | number {
  if (typeof t === 'number') return checked(fn(t), t)
  if (t.length !== x.shape[0]) {
    throw new RangeError(
      `t has ${t.length} times but the batch has ${x.shape[0]} samples (expected one number, or one for each sample)`,
    )
  }
  const values = new Float64Array(t.length)
  for (let i = 0; i < t.length; i++) values[i] = checked(fn(t[i]), t[i])
  return x.device.tensor(values, [values.length, ...x.shape.slice(1).map(() => 1)], { dtype: x.dtype })
}

/** A tensor, and its weight as a function of time. */
type Term = readonly [x: Tensor, weight: (t: number) => number]

/** Σ weight(t)·x of two terms [B, …], t one number or B of them. Throws unless they have one shape. */
export function blend(op: string, t: number | ArrayLike<number>, [x, xWeight]: Term, [y, yWeight]: Term): Tensor {
  if (x.shape.join() !== y.shape.join()) {
    throw new RangeError(
      `${op}: tensors of shapes [${x.shape.join(', ')}] and [${y.shape.join(', ')}] (expected the same)`,
    )
  }
  return scope(() => add(mul(x, perSample(x, t, xWeight)), mul(y, perSample(y, t, yWeight))), op)
}

function checked(value: number, t: number): number {
  if (!Number.isFinite(value))
    throw new RangeError(
      `the path has no finite coefficient at t = ${t} (it is ${value}); stay strictly between 0 and 1`,
    )
  return value
}
