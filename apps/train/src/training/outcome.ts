// What a batch comes to, whether its loss can be told at once or only when the model has answered.

import type { RngKey } from '@ditkit/core'
import type { Batch, Learner, Outcome } from '../task/task'

/** Runs synchronous code where its tensors belong: the `run` of a scopeAsync, with or without a tape. */
export type Run = <T>(fn: () => T) => T

export async function outcomeOf(run: Run, batch: Batch, learner: Learner, key: RngKey): Promise<Outcome> {
  const loss = run(() => batch.loss(learner, key))
  return 'answered' in loss ? run(await loss.answered) : { loss }
}

/** Means of figures, weighted by the samples behind each. */
export class FigureMeans {
  private readonly sums = new Map<string, number>()
  private samples = 0

  add(figures: Readonly<Record<string, number>>, samples: number): void {
    for (const [name, value] of Object.entries(figures))
      this.sums.set(name, (this.sums.get(name) ?? 0) + value * samples)
    this.samples += samples
  }

  means(): Record<string, number> {
    return Object.fromEntries([...this.sums].map(([name, sum]) => [name, sum / this.samples]))
  }
}
