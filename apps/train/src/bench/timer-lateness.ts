// How late a 100 ms timer fires while training goes on: what a server in the same process would feel.

const INTERVAL = 100

export interface Lateness {
  readonly median_ms: number
  readonly worst_ms: number
  readonly timers: number
}

/** Watches until the returned function is called, which gives the figures. */
export function watchTimer(): () => Lateness {
  const late: number[] = []
  let due = performance.now() + INTERVAL
  let timer: NodeJS.Timeout
  const arm = () => {
    due = performance.now() + INTERVAL
    timer = setTimeout(() => {
      late.push(performance.now() - due)
      arm()
    }, INTERVAL)
  }
  arm()
  return () => {
    clearTimeout(timer)
    // A timer that never came to fire counts too.
    late.push(Math.max(0, performance.now() - due))
    const sorted = [...late].sort((a, b) => a - b)
    return { median_ms: sorted[sorted.length >> 1], worst_ms: sorted[sorted.length - 1], timers: late.length }
  }
}
