// How well factors fit a bias, measured on all of it, block by block.

import { reshape, scopeAsync, slice, type Tensor } from '@ditkit/core'
import type { FactoredBias } from '../factors'
import type { BiasSurvey } from '../mask/survey'
import { BiasMatrix, matrixOf } from '../svd/bias-matrix'

export interface BiasFit {
  /** Share of the sum of squares that is kept: 1 − ‖bias − factors‖²/‖bias‖². Below 0 for factors worse than none. */
  readonly energy: number
  /** ‖bias − factors‖ (Frobenius), the same over ‖bias‖, and the largest error of an entry. */
  readonly residual: { readonly frobenius: number; readonly relative: number; readonly largest: number }
}

/** Of factors to a bias [B|1, H|1, Lq, Lk], off the tape; where `allowed` is false it does not count. */
export async function biasFit(
  bias: Tensor,
  allowed: Tensor | undefined,
  survey: BiasSurvey,
  factors: FactoredBias,
): Promise<BiasFit> {
  const [batch, heads, queries, keys] = bias.shape
  let [squares, largest] = [0, 0]
  for (let matrix = 0; matrix < batch * heads; matrix++) {
    const [b, h] = [Math.floor(matrix / heads), matrix % heads]
    const residual = await scopeAsync(async s => {
      const [of, query, key] = s.run(() => {
        const flat = (t: Tensor) => matrixOf(reshape(t, [batch * heads, queries, keys]), matrix)
        const side = (t: Tensor) => reshape(pick(pick(t, 0, b), 2, h), [t.shape[1], t.shape[3]])
        return [new BiasMatrix(flat(bias), allowed && flat(allowed), 0), side(factors.query), side(factors.key)]
      })
      return of.residual(query, key)
    })
    squares += residual.squares
    largest = Math.max(largest, residual.largest)
  }
  const whole = survey.squares.reduce((sum, x) => sum + x, 0)
  const relative = whole === 0 ? 0 : Math.sqrt(squares / whole)
  return { energy: 1 - relative ** 2, residual: { frobenius: Math.sqrt(squares), relative, largest } }
}

/** One index of an axis; of an axis of size 1 always that. */
function pick(x: Tensor, axis: number, index: number): Tensor {
  return x.shape[axis] === 1 ? x : slice(x, axis, index, index + 1)
}
