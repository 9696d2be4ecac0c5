// Coefficients of a schedule as tensors that broadcast over a batch.

import { add, mul, scope, type Tensor } from '@ditkit/core'
import type { DiffusionSchedule } from './schedule'

/** values[t[i]] as [B, 1, …] beside x [B, …]. */
export function perSample(x: Tensor, t: ArrayLike<number>, value: (t: number) => number): Tensor {
  return x.device.tensor(Array.from(t, value), [t.length, ...x.shape.slice(1).map(() => 1)], { dtype: x.dtype })
}

/** A tensor, and its weight as a function of the step. */
type Term = readonly [x: Tensor, weight: (t: number) => number]

/** Σ weight(t[i])·x[i] of two terms [B, …]. Throws unless they have one shape. */
export function blend(op: string, t: ArrayLike<number>, [x, xWeight]: Term, [y, yWeight]: Term): Tensor {
  if (x.shape.join() !== y.shape.join()) {
    throw new RangeError(
      `${op}: tensors of shapes [${x.shape.join(', ')}] and [${y.shape.join(', ')}] (expected the same)`,
    )
  }
  return scope(() => add(mul(x, perSample(x, t, xWeight)), mul(y, perSample(y, t, yWeight))), op)
}

/** Throws unless t holds one step of the schedule for each sample of x. */
export function checkSteps(op: string, schedule: DiffusionSchedule, x: Tensor, t: ArrayLike<number>): void {
  if (t.length !== x.shape[0])
    throw new RangeError(`${op}: t has ${t.length} steps but the batch has ${x.shape[0]} samples`)
  for (const step of Array.from(t)) {
    if (!Number.isInteger(step) || step < 0 || step >= schedule.steps) {
      throw new RangeError(`${op}: t has a step ${step} (expected whole numbers from 0 to ${schedule.steps - 1})`)
    }
  }
}
