// Coefficients of a schedule as tensors that broadcast over a batch.

import type { Tensor } from '@ditkit/core'
import type { DiffusionSchedule } from './schedule'

/** values[t[i]] as [B, 1, …] beside x [B, …]. */
export function perSample(x: Tensor, t: ArrayLike<number>, value: (t: number) => number): Tensor {
  return x.device.tensor(Array.from(t, value), [t.length, ...x.shape.slice(1).map(() => 1)], { dtype: x.dtype })
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
