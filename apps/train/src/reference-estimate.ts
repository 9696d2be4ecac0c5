// How long training would take on the reference device, which is for checking and far too slow for most else.

import { backward, rngKey, scopeAsync } from '@ditkit/core'
import { duration } from './report/progress'
import { outcomeOf } from './training/outcome'
import type { Session } from './training/session'

/** Times a step on one sample, and prints what the whole run would take. Changes no weight. */
export async function printReferenceEstimate(session: Session): Promise<void> {
  // The first step is slow: the functions it runs are being compiled.
  await secondsOfOneSample(session)
  const { batch, steps } = session.config.train
  const seconds = (await secondsOfOneSample(session)) * batch * steps
  console.log(
    `The reference device is for checking; these ${steps} steps take it about ${duration(seconds)}. device=cpu is fast.`,
  )
}

async function secondsOfOneSample(session: Session): Promise<number> {
  const start = performance.now()
  const batch = session.task.train.read([0])
  await scopeAsync(async s => {
    const { loss } = await outcomeOf(s.run, batch, session, rngKey(0))
    s.run(() => backward(loss))
  })
  session.optimizer.zeroGrad()
  await session.device.sync()
  return (performance.now() - start) / 1000
}
