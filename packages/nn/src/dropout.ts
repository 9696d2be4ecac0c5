// Dropout whose mask is a function of a key, so that a run can be replayed.

import { dropout, type RngKey, type Tensor } from '@ditkit/core'
import { Module } from './module'

export class Dropout extends Module {
  constructor(readonly p: number) {
    super()
    if (!(p >= 0 && p < 1)) throw new RangeError(`Dropout: p must be in [0, 1), got ${p}`)
  }

  /**
   * In evaluation, and for p = 0, x itself.
   * @throws Error when training without a key.
   */
  forward(x: Tensor, key?: RngKey): Tensor {
    if (!this.training || this.p === 0) return x
    if (!key) throw new Error('Dropout: training needs a key: forward(x, key), or call eval() on the model')
    return dropout(x, this.p, key)
  }
}
