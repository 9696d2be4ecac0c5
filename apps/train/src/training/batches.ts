// The data of a step: which images, how augmented, and the random key of everything else. A function of (seed, step)
// alone, so that a resumed run and a replayed step see the same.

import type { RngKey } from '@ditkit/core'
import type { Config } from '../config/schema'
import type { Batch, Dataset } from '../data/dataset'
import { flipSome } from '../data/flip'
import { DataOrder } from '../data/order'
import { UserError } from '../errors'

export interface MicroBatch extends Batch {
  /** Draws noise, time and label dropout. */
  readonly key: RngKey
}

export class TrainingBatches {
  readonly microSize: number
  private readonly accumulate: number
  private readonly order: DataOrder
  private readonly stepKey: RngKey

  constructor(
    private readonly dataset: Dataset,
    config: Config,
    key: RngKey,
  ) {
    if (dataset.train.count === 0) throw new UserError('the data set has no training images')
    const [orderKey, stepKey] = key.split(2)
    this.accumulate = config.train.accumulate
    this.microSize = config.train.batch / this.accumulate
    this.order = new DataOrder(orderKey, dataset.train.count)
    this.stepKey = stepKey
  }

  /** The micro-batches of a step, counted from 0. */
  *ofStep(step: number): Generator<MicroBatch> {
    for (let micro = step * this.accumulate; micro < (step + 1) * this.accumulate; micro++) {
      const [flipKey, key] = this.stepKey.foldIn(micro).split(2)
      const batch = this.dataset.train.read(this.order.read(micro * this.microSize, this.microSize))
      if (this.dataset.flip) flipSome(batch.images, this.microSize, this.dataset.size, flipKey)
      yield { ...batch, key }
    }
  }

  /** Whole passes over the training images before a step. */
  epochOf(step: number): number {
    return Math.floor((step * this.accumulate * this.microSize) / this.dataset.train.count)
  }
}
