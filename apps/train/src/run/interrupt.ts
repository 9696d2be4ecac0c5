// Ctrl-C asks for a stop after the current step; a second one leaves at once.

/** Thrown where work is given up because of an interrupt. */
export class Interrupted extends Error {}

export interface Interrupt {
  readonly requested: boolean
  /** Gives the signals back. */
  release(): void
}

/** Watches SIGINT and SIGTERM. `announce` is called once, when the first arrives. */
export function watchInterrupt(announce: () => void): Interrupt {
  let requested = false
  const onSignal = (signal: NodeJS.Signals) => {
    if (requested) process.exit(signal === 'SIGINT' ? 130 : 143)
    requested = true
    announce()
  }
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) process.on(signal, onSignal)
  return {
    get requested() {
      return requested
    },
    release() {
      for (const signal of signals) process.off(signal, onSignal)
    },
  }
}
