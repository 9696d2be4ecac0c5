// Losses on their way from the device: read a few steps late, so that reading never stalls training, and written to the
// CSV in order.

import type { StepReport } from '@ditkit/nn'
import type { Progress } from '../report/progress'
import type { MetricsFile } from '../run/metrics'
import type { Validation } from './validation'

export interface StepReads {
  /** Counted from 0. */
  readonly step: number
  readonly epoch: number
  readonly learningRate: number
  /** One per micro-batch. */
  readonly losses: readonly Promise<number>[]
  readonly report: Promise<StepReport>
  readonly validation: Validation | undefined
  readonly figures: Readonly<Record<string, number>>
}

/** A loss or gradient that is not a finite number; the optimizer has skipped that step. */
export class NonFiniteStep extends Error {
  constructor(
    readonly step: number,
    readonly loss: number,
    readonly gradNorm: number,
  ) {
    super(`step ${step + 1}: loss ${loss}, gradient norm ${gradNorm}`)
  }
}

/** Steps whose numbers may still be on their way. */
const LATE = 2

export class StepLog {
  private readonly pending: StepReads[] = []

  constructor(
    private readonly metrics: MetricsFile,
    private readonly progress: Progress,
  ) {}

  /** Takes note of a step, and writes the steps whose numbers are due. Rejects with NonFiniteStep. */
  async add(reads: StepReads): Promise<void> {
    // They are awaited later; until then a rejection must not end the process.
    for (const promise of [...reads.losses, reads.report]) promise.catch(() => {})
    this.pending.push(reads)
    while (this.pending.length > LATE) await this.writeOldest()
  }

  /** Waits for every number and writes it. */
  async drain(): Promise<void> {
    while (this.pending.length > 0) await this.writeOldest()
  }

  private async writeOldest(): Promise<void> {
    const { step, epoch, learningRate, losses, report, validation, figures } = this.pending.shift()!
    const values = await Promise.all(losses)
    const { gradNorm, taken } = await report
    const loss = values.reduce((sum, value) => sum + value, 0) / values.length
    if (!taken || !Number.isFinite(loss)) throw new NonFiniteStep(step, loss, gradNorm)
    const row = { step: step + 1, epoch, loss, learning_rate: learningRate, grad_norm: gradNorm }
    this.metrics.append(
      validation
        ? { ...row, val_loss: validation.loss, figures: { ...figures, ...validation.figures } }
        : { ...row, figures },
    )
    this.progress.update(step + 1, `loss ${loss.toFixed(4)}`)
  }
}
