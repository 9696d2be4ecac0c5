// How long training would take on the reference device, which is for checking and far too slow for most else.

import { backward, rngKey, scope } from '@ditkit/core'
import { duration } from './report/progress'
import type { Session } from './training/session'

/** Times a step on one image, and prints what the whole run would take. Changes no weight. */
export async function printReferenceEstimate(session: Session): Promise<void> {
  // The first step is slow: the functions it runs are being compiled.
  await secondsOfOneImage(session)
  const { batch, steps } = session.config.train
  const seconds = (await secondsOfOneImage(session)) * batch * steps
  console.log(
    `The reference device is for checking; these ${steps} steps take it about ${duration(seconds)}. device=cpu is fast.`,
  )
}

async function secondsOfOneImage({ dataset, device, model, objective, optimizer }: Session): Promise<number> {
  const start = performance.now()
  const labels = dataset.classes.length > 0 ? Int32Array.of(0) : undefined
  scope(() => {
    const image = device.zeros([1, dataset.channels, dataset.size, dataset.size])
    backward(objective.loss(model, image, labels, rngKey(0)))
  })
  optimizer.zeroGrad()
  await device.sync()
  return (performance.now() - start) / 1000
}
