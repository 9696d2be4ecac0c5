// One pass over a dense bias that finds what every route has to know: where it is blocked, whether the rest is finite, and
// how large it is.

import { fromBlockedMask, notice, type Program, program, runProgram, scopeAsync, type Tensor } from '@ditkit/core'

/** A value for each row of each matrix: entry (matrix·Lq + i), matrices by sample, then head. */
export interface BiasSurvey {
  readonly matrices: number
  /** Entries of the row that are blocked, by the mask or by −Infinity. */
  readonly blocked: readonly number[]
  /** Σ of the squares of the others. */
  readonly squares: readonly number[]
  /** Their largest and smallest value; −Infinity and Infinity where there are none. */
  readonly highest: readonly number[]
  readonly lowest: readonly number[]
}

function surveyProgram(masked: boolean): Program {
  return program(masked ? 'bias survey, masked' : 'bias survey', masked ? 2 : 1, 0, (b, bias, mask) => {
    const isBlocked = b.eq(bias, b.constant(Number.NEGATIVE_INFINITY))
    const blocked = mask ? b.or(isBlocked, b.not(mask)) : isBlocked
    const value = b.select(blocked, b.constant(0), bias)
    const nothing = b.constant(Number.NEGATIVE_INFINITY)
    return [
      b.rowSum(blocked),
      b.rowSum(b.mul(value, value)),
      b.rowMax(b.select(blocked, nothing, bias)),
      b.rowMax(b.select(blocked, nothing, b.neg(bias))),
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
  const [batch, heads, queries] = bias.shape
  const { dtype } = bias
  const perRow = { dtype, perRow: true }
  const [blocked, squares, highest, negated] = await scopeAsync(s =>
    Promise.all(
      s
        .run(() =>
          runProgram(mask ? MASKED_SURVEY : SURVEY, mask ? [bias, mask] : [bias], [], [perRow, perRow, perRow, perRow]),
        )
        .map(async t => Array.from(await t.data())),
    ),
  )
  const place = (row: number) => {
    const matrix = Math.floor(row / queries)
    return `sample ${Math.floor(matrix / heads)}, head ${matrix % heads}, query ${row % queries}`
  }
  // A value that is not finite makes the sum so; a finite one may too, by its square.
  const wrong = squares.findIndex(sum => !Number.isFinite(sum))
  if (wrong >= 0) {
    throw new RangeError(
      `${op}: bias holds a value that is NaN, +Infinity, or too large to be squared (${place(wrong)}); only what may not be attended to may be −Infinity or masked`,
    )
  }
  reportBlocked(op, bias, blocked, place)
  return { matrices: batch * heads, blocked, squares, highest, lowest: negated.map(x => -x) }
}

function reportBlocked(op: string, bias: Tensor, blocked: readonly number[], place: (row: number) => string): void {
  const [batch, heads, queries, keys] = bias.shape
  const first = blocked.indexOf(keys)
  if (first < 0) return
  const size = heads * queries
  const sample = Array.from({ length: batch }, (_, b) => b).find(b =>
    blocked.slice(b * size, (b + 1) * size).every(n => n === keys),
  )
  notice(
    bias.device,
    sample === undefined
      ? `${op}: a query may attend to nothing and gets 0 (${place(first)}, the first of ${blocked.filter(n => n === keys).length})`
      : `${op}: nothing in sample ${sample} may attend to anything. Should the mask have the other polarity? (true = may attend; ${fromBlockedMask.name} converts)`,
    `${op}: blocked`,
  )
}
