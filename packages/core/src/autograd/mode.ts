// Whether ops are recorded on the tape.

import { rejectPromise } from '../scope'

let enabled = true

export function isGradEnabled(): boolean {
  return enabled
}

export function withGrad<T>(value: boolean, fn: () => T): T {
  const outer = enabled
  enabled = value
  try {
    return fn()
  } finally {
    enabled = outer
  }
}

/** Runs `fn` without recording: its results require no gradient. Throws when `fn` returns a Promise. */
export function noGrad<T>(fn: () => T): T {
  const result = withGrad(false, fn)
  rejectPromise('noGrad', result)
  return result
}

/** Runs `fn` with recording on, inside a `noGrad`: for a gradient that is part of a computation (divergences, guidance). */
export function enableGrad<T>(fn: () => T): T {
  const result = withGrad(true, fn)
  rejectPromise('enableGrad', result)
  return result
}
