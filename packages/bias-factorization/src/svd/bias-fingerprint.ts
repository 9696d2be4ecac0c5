// A few numbers per row of a bias from which the size of a change can be told: its product with fixed random columns, whose squared
// length is on average that of the row (Johnson and Lindenstrauss 1984). No copy of the bias is made.

import { normal, program, reshape, rngKey, runProgram, scopeAsync, type Tensor } from '@ditkit/core'
import { allowedPairs } from '../mask/split-bias'
import { surveyBias } from '../mask/survey'
import { BiasMatrix } from './bias-matrix'

/** The estimate of a change of rank 1 is mostly within a fifth; of others it is closer. */
const PROBES = 16

export interface BiasFingerprint {
  readonly shape: readonly number[]
  /** One number per row for what is blocked in it; empty when nothing is. */
  readonly blocked: Float64Array
  /** Products of the values that are not. */
  readonly probes: Float64Array
  /** The sum of their squares. */
  readonly squares: number
}

const BLOCKED = program('bias fingerprint', 2, 0, (b, allowed, column) => b.rowSum(b.mul(b.not(allowed), column)))

/** Of a bias [B|1, H|1, Lq, Lk], off the tape, beside a mask that broadcasts to it; checked as `surveyBias` does. */
export async function biasFingerprint(op: string, bias: Tensor, mask: Tensor | undefined): Promise<BiasFingerprint> {
  const { blocked, squares } = await surveyBias(op, bias, mask)
  const { device, dtype, shape } = bias
  const rows = shape[0] * shape[1] * shape[2]
  return scopeAsync(async s => {
    const tensors = s.run(() => {
      const columns = normal(device, [PROBES, shape[3]], rngKey(0), { dtype })
      const flat = (x: Tensor) => reshape(x, [rows, shape[3]])
      const allowed = blocked.some(Boolean) ? flat(allowedPairs(bias, mask)) : undefined
      const probes = new BiasMatrix(flat(bias), allowed, 0).timesRows(columns)
      const column = normal(device, [shape[3]], rngKey(1), { dtype })
      return [probes, ...(allowed ? runProgram(BLOCKED, [allowed, column], [], [{ dtype, perRow: true }]) : [])]
    })
    const [probes, pattern = []] = await Promise.all(tensors.map(t => t.data()))
    return {
      shape,
      blocked: Float64Array.from(pattern),
      probes: Float64Array.from(probes),
      squares: squares.reduce((sum, x) => sum + x, 0),
    }
  })
}

/** ‖after − before‖ / ‖before‖ (Frobenius), estimated. */
export function relativeChange(before: BiasFingerprint, after: BiasFingerprint): number {
  const change = before.probes.reduce((sum, x, i) => sum + (after.probes[i] - x) ** 2, 0) / PROBES
  return change === 0 ? 0 : Math.sqrt(change / before.squares)
}
