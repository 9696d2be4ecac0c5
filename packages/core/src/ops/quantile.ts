// Quantiles without sorting, so that every backend has them: bisection on values, counting in row programs.

import { program, type Value } from '../program'
import { internally } from '../scope'
import { showShape } from '../shape'
import { emptyTensor, type Tensor } from '../tensor'
import { checkFloat } from './operands'
import { runProgram } from './run-program'

const ENDS = program('row ends', 1, 0, (b, x) => [b.neg(b.rowMax(b.neg(x))), b.rowMax(x)])

const STEPS_PER_RUN = 4
/** 8 runs of 4 halvings leave 2^−32 of the row's range: less than f32 can tell apart near its largest value. */
const RUNS = 8

/** Halves [low, high] around the smallest number that at least `wanted` entries of the row do not exceed. */
const BISECT = program('bisect', 3, 1, (b, x, first, last, wanted) => {
  const half = b.constant(0.5)
  let [low, high] = [first, last]
  for (let step = 0; step < STEPS_PER_RUN; step++) {
    const middle = b.fma(half, b.sub(high, low), low)
    const enough: Value = b.le(wanted, b.rowSum(b.le(x, middle)))
    ;[low, high] = [b.select(enough, low, middle), b.select(enough, middle, high)]
  }
  return [low, high]
})

/** The largest entry that is at most `high`. */
const LARGEST_UPTO = program('largest up to', 3, 0, (b, x, low, high) => b.rowMax(b.select(b.le(x, high), x, low)))

/**
 * The entry at index ⌈q·(n − 1)⌉ of each sorted row of n (the last axis), kept as axis of size 1; as `torch.quantile` with
 * interpolation 'higher'. x [..., n] → [..., 1]. Entries closer together than 2^−32 of their row's range count as one. No gradient.
 * @throws RangeError unless q is in 0 … 1 and rows have entries.
 */
export function quantile(x: Tensor, q: number): Tensor {
  return internally(() => {
    checkFloat('quantile', 'x', x)
    if (!(q >= 0 && q <= 1)) throw new RangeError(`quantile: q is ${q} (expected 0 to 1)`)
    const n = x.shape[x.rank - 1]
    if (x.rank === 0 || n === 0) {
      throw new RangeError(`quantile: x has shape ${showShape(x.shape)} (expected a last axis of at least one element)`)
    }
    const perRow = { dtype: x.dtype, perRow: true }
    if (x.size === 0) return emptyTensor(x.device, [...x.shape.slice(0, -1), 1], x.dtype)
    let [low, high] = runProgram(ENDS, [x], [], [perRow, perRow])
    // The smallest entry is never inside the half-open interval that bisection keeps.
    if (q === 0) return low
    const wanted = Math.ceil(q * (n - 1)) + 1
    for (let run = 0; run < RUNS; run++) [low, high] = runProgram(BISECT, [x, low, high], [wanted], [perRow, perRow])
    return runProgram(LARGEST_UPTO, [x, low, high], [], [perRow])[0]
  })
}
