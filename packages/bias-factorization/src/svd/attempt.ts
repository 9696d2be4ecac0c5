// Factors of a matrix together with what they were measured to be worth.

import { disposeAll } from '@ditkit/core'
import type { BiasMatrix, Residual } from './bias-matrix'
import type { MatrixFactors } from './dominant-subspace'

/** What factors are worth. */
export interface MatrixReport {
  readonly rank: number
  /** Share of the matrix's sum of squares that the factors keep, measured: 1 − ‖A − factors‖²/‖A‖². What is blocked does not count. */
  readonly energy: number
  readonly residual: Residual
}

export type Attempt = MatrixReport & { readonly factors: MatrixFactors }

/** Takes over the factors: they are freed when measuring fails. */
export async function measured(matrix: BiasMatrix, factors: MatrixFactors): Promise<Attempt> {
  try {
    const residual = await matrix.residual(factors.query, factors.key)
    const energy = matrix.squares === 0 ? 1 : 1 - residual.squares / matrix.squares
    return { rank: factors.query.shape[1], energy, residual, factors }
  } catch (error) {
    disposeAll([factors.query, factors.key])
    throw error
  }
}

export function discard({ factors }: Attempt): void {
  disposeAll([factors.query, factors.key])
}
