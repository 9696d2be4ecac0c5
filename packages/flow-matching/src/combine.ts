// Weighted sums of states in one pass over memory: what every Runge–Kutta step is made of.

import { type Program, program, runProgram, type Tensor } from '@ditkit/core'

/** Programs for Σ weight_i·x_i of 1 … 7 tensors. */
const COMBINE: Program[] = Array.from({ length: 7 }, (_, i) => {
  const n = i + 1
  return program(`weighted sum of ${n}`, n, n, (b, ...values) => {
    let total = b.mul(values[0], values[n])
    for (let j = 1; j < n; j++) total = b.fma(values[j], values[n + j], total)
    return total
  })
})

/** Σ weights[i]·tensors[i] (terms of weight 0 are not read, so what they hold has no influence); 1 to 7 others. Not recorded. */
export function weightedSum(tensors: readonly Tensor[], weights: readonly number[]): Tensor {
  const used = tensors.map((_, i) => i).filter(i => weights[i] !== 0)
  const terms = used.length > 0 ? used : [0]
  return runProgram(
    COMBINE[terms.length - 1],
    terms.map(i => tensors[i]),
    terms.map(i => weights[i]),
  )[0]
}
