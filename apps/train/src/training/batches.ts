// The data of a step: which samples, how augmented, and the random key of everything else. A function of (seed, step)
// alone, so that a resumed run and a replayed step see the same.

import type { RngKey } from '@ditkit/core'
import type { Config } from '../config/schema'
import { DataOrder } from '../data/order'
import { UserError } from '../errors'
import type { Batch, Split } from '../task/task'

export interface MicroBatch {
  readonly batch: Batch
  /** Draws noise, time and dropouts. */
  readonly key: RngKey
}

export class TrainingBatches {
  readonly microSize: number
  private readonly accumulate: number
  private readonly order: DataOrder
  private readonly stepKey: RngKey

  constructor(
    private readonly split: Split,
    config: Config,
    key: RngKey,
  ) {
    if (split.count === 0) throw new UserError('the data set has nothing to train on')
    const [orderKey, stepKey] = key.split(2)
    this.accumulate = config.train.accumulate
    this.microSize = config.train.batch / this.accumulate
    this.order = new DataOrder(orderKey, split.count)
    this.stepKey = stepKey
  }

  /** The micro-batches of a step, counted from 0. */
  *ofStep(step: number): Generator<MicroBatch> {
    for (let micro = step * this.accumulate; micro < (step + 1) * this.accumulate; micro++) {
      const [augment, key] = this.stepKey.foldIn(micro).split(2)
      const batch = this.split.read(this.order.read(micro * this.microSize, this.microSize), augment)
      yield { batch, key }
    }
  }

  /** Whole passes over the training samples before a step. */
  epochOf(step: number): number {
    return Math.floor((step * this.accumulate * this.microSize) / this.split.count)
  }
}
