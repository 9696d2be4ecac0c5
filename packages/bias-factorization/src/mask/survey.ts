// One pass over a dense bias that finds what every route has to know: where it is blocked, whether the rest is finite, and
// how large it is.

import { fromBlockedMask, notice, type Program, program, runProgram, scopeAsync, type Tensor } from '@ditkit/core'

/** A value for each row of each matrix: entry (matrix·Lq + i), matrices by sample, then head. */
export interface BiasSurvey {
  readonly matrices: number
  /** Entries of the row that are blocked, by the mask or by −Infinity. */
  readonly blocked: ArrayLike<number>
  /** Σ of the squares of the others. */
  readonly squares: ArrayLike<number>
  /** The largest absolute value of the others. */
  readonly largest: ArrayLike<number>
}

function surveyProgram(masked: boolean): Program {
  return program(masked ? 'bias survey, masked' : 'bias survey', masked ? 2 : 1, 0, (b, bias, mask) => {
    const isBlocked = b.eq(bias, b.constant(Number.NEGATIVE_INFINITY))
    const blocked = mask ? b.or(isBlocked, b.not(mask)) : isBlocked
    const value = b.select(blocked, b.constant(0), bias)
    return [
      b.rowSum(blocked),
      b.rowSum(b.not(b.isFinite(value))),
      b.rowSum(b.mul(value, value)),
      b.rowMax(b.abs(value)),
    ]
  })
}

const SURVEY = surveyProgram(false)
const MASKED_SURVEY = surveyProgram(true)

/**
 * Surveys a bias [B|1, H|1, Lq, Lk] beside a mask that broadcasts to it. Throws for entries outside the mask that are NaN or
 * +Infinity; says once when a query, or a whole sample, may attend to nothing.
 */
export async function surveyBias(op: string, bias: Tensor, mask: Tensor | undefined): Promise<BiasSurvey> {
  const [batch, heads, queries, keys] = bias.shape
  const { dtype } = bias
  const perRow = { dtype, perRow: true }
  const [blocked, invalid, squares, largest] = await scopeAsync(s =>
    Promise.all(
      s
        .run(() =>
          runProgram(mask ? MASKED_SURVEY : SURVEY, mask ? [bias, mask] : [bias], [], [perRow, perRow, perRow, perRow]),
        )
        .map(t => t.data()),
    ),
  )
  const place = (row: number) => {
    const matrix = Math.floor(row / queries)
    return `sample ${Math.floor(matrix / heads)}, head ${matrix % heads}, query ${row % queries}`
  }
  const wrong = (invalid as Float32Array).findIndex(n => n > 0)
  if (wrong >= 0) {
    throw new RangeError(
      `${op}: bias holds a value that is NaN or +Infinity (${place(wrong)}); only what may not be attended to may be −Infinity or masked`,
    )
  }
  const rows = blocked as Float32Array
  const first = rows.indexOf(keys)
  if (first >= 0) {
    const size = heads * queries
    const sample = Array.from({ length: batch }, (_, b) => b).find(b =>
      rows.subarray(b * size, (b + 1) * size).every(n => n === keys),
    )
    notice(
      bias.device,
      sample === undefined
        ? `${op}: a query may attend to nothing and gets 0 (${place(first)}, the first of ${rows.filter(n => n === keys).length})`
        : `${op}: nothing in sample ${sample} may attend to anything. Should the mask have the other polarity? (true = may attend; ${fromBlockedMask.name} converts)`,
      `${op}: blocked`,
    )
  }
  return { matrices: batch * heads, blocked: rows, squares: squares as Float32Array, largest: largest as Float32Array }
}
