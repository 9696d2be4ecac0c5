// val_loss: the training loss on held-out images, always with the same noise and times, without label dropout.

import { type Device, noGrad, type RngKey, scope } from '@ditkit/core'
import type { DiT } from '@ditkit/dit-model'
import type { Dataset } from '../data/dataset'
import type { Objective } from '../objective/objective'

/** Larger batches are no faster. */
const MOST = 128

/**
 * Enqueues the loss over all validation images, in batches no larger than those of training, whose memory they then fit into; resolves to
 * their mean once the device has computed it.
 */
export async function validationLoss(
  device: Device,
  model: DiT,
  objective: Objective,
  dataset: Dataset,
  key: RngKey,
  trainingBatch: number,
): Promise<number> {
  const { validation, channels, size, classes } = dataset
  const batchSize = Math.min(MOST, trainingBatch)
  const parts: Promise<number>[] = []
  model.eval()
  for (let start = 0; start < validation.count; start += batchSize) {
    const count = Math.min(batchSize, validation.count - start)
    const { images, labels } = validation.read(Array.from({ length: count }, (_, i) => start + i))
    const loss = scope(() =>
      noGrad(() => {
        const batch = device.tensor(images, [count, channels, size, size])
        return objective.loss(model, batch, classes.length > 0 ? labels : undefined, key.foldIn(start))
      }),
    )
    parts.push(loss.item().then(value => value * count))
    loss.dispose()
  }
  model.train()
  const sums = await Promise.all(parts)
  return sums.reduce((a, b) => a + b, 0) / validation.count
}
