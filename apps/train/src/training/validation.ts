// val_loss: the training loss on held-out samples, always with the same noise and times, without dropouts; and the figures
// that come with it.

import { noGrad, type RngKey, scopeAsync } from '@ditkit/core'
import type { Learner, Split } from '../task/task'
import { FigureMeans, outcomeOf } from './outcome'

export interface Validation {
  readonly loss: number
  readonly figures: Readonly<Record<string, number>>
}

/** Larger batches are no faster. */
const MOST = 128

/**
 * The mean loss over all validation samples, in batches no larger than those of training, whose memory they then fit into. The model is in
 * evaluation mode until it resolves.
 */
export async function validate(
  learner: Learner,
  validation: Split,
  key: RngKey,
  trainingBatch: number,
): Promise<Validation> {
  const batchSize = Math.min(MOST, trainingBatch)
  const losses: Promise<number>[] = []
  const figures = new FigureMeans()
  learner.model.eval()
  try {
    for (let start = 0; start < validation.count; start += batchSize) {
      const count = Math.min(batchSize, validation.count - start)
      const batch = validation.read(Array.from({ length: count }, (_, i) => start + i))
      await scopeAsync(async s => {
        const outcome = await outcomeOf(fn => s.run(() => noGrad(fn)), batch, learner, key.foldIn(start))
        losses.push(outcome.loss.item().then(value => value * count))
        figures.add(outcome.figures ?? {}, count)
      })
    }
    const sums = await Promise.all(losses)
    return { loss: sums.reduce((a, b) => a + b, 0) / validation.count, figures: figures.means() }
  } finally {
    learner.model.train()
  }
}
