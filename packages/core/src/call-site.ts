// Where the user called an op: for faults that only the data shows, which come to light at a later read.

import type { CallSite } from './backend'

/** The stack of whoever called `caller`, kept so that a fault the device finds later can name where it came from. */
export function callSite(op: string, caller: (...args: never[]) => unknown): CallSite {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 8
  const site = new Error()
  // V8 leaves out the op itself and what it calls; elsewhere the stack begins inside core.
  Error.captureStackTrace?.(site, caller)
  Error.stackTraceLimit = limit
  return {
    op,
    // Formatting a stack costs more than taking it; most sites are never read.
    get stack() {
      return site.stack
    },
  }
}
