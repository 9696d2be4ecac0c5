// Learning rates as pure functions of the step, counted from 0, so that a resumed run needs no scheduler state.

/** Learning rate of a step. */
export type Schedule = (step: number) => number

export interface DecayOptions {
  /** The highest rate, reached at the end of the warm-up. */
  lr: number
  /** The rate rises linearly over these steps: step s has lr·(s + 1) / warmupSteps. Default 0. */
  warmupSteps?: number
  /** Steps of the whole run; from here on the rate is `finalLr`. */
  totalSteps: number
  finalLr?: number
}

export function constantLr(lr: number): Schedule {
  return () => lr
}

/** Linear warm-up, then constant. */
export function warmupConstant(options: { lr: number; warmupSteps: number }): Schedule {
  const { lr, warmupSteps } = options
  return step => (step < warmupSteps ? (lr * (step + 1)) / warmupSteps : lr)
}

/** Linear warm-up, then half a cosine down to `finalLr` (Loshchilov & Hutter 2017). */
export function warmupCosine(options: DecayOptions): Schedule {
  return warmupThen(options, progress => (1 + Math.cos(Math.PI * progress)) / 2)
}

/** Linear warm-up, then a straight line down to `finalLr`. */
export function warmupLinear(options: DecayOptions): Schedule {
  return warmupThen(options, progress => 1 - progress)
}

function warmupThen(options: DecayOptions, remaining: (progress: number) => number): Schedule {
  const { lr, warmupSteps = 0, totalSteps, finalLr = 0 } = options
  if (!(totalSteps > warmupSteps))
    throw new RangeError(`schedule: totalSteps (${totalSteps}) must be above warmupSteps (${warmupSteps})`)
  return step => {
    if (step < warmupSteps) return (lr * (step + 1)) / warmupSteps
    const progress = Math.min(1, (step - warmupSteps) / (totalSteps - warmupSteps))
    return finalLr + (lr - finalLr) * remaining(progress)
  }
}
