// val_loss: the training loss on held-out samples, always with the same noise and times, without dropouts.

import { noGrad, type RngKey, scope } from '@ditkit/core'
import type { Learner, Split } from '../task/task'

/** Larger batches are no faster. */
const MOST = 128

/**
 * Enqueues the loss over all validation samples, in batches no larger than those of training, whose memory they then fit into; resolves to
 * their mean once the device has computed it.
 */
export async function validationLoss(
  learner: Learner,
  validation: Split,
  key: RngKey,
  trainingBatch: number,
): Promise<number> {
  const batchSize = Math.min(MOST, trainingBatch)
  const parts: Promise<number>[] = []
  learner.model.eval()
  for (let start = 0; start < validation.count; start += batchSize) {
    const count = Math.min(batchSize, validation.count - start)
    const batch = validation.read(Array.from({ length: count }, (_, i) => start + i))
    const loss = scope(() => noGrad(() => batch.loss(learner, key.foldIn(start))))
    parts.push(loss.item().then(value => value * count))
    loss.dispose()
  }
  learner.model.train()
  const sums = await Promise.all(parts)
  return sums.reduce((a, b) => a + b, 0) / validation.count
}
