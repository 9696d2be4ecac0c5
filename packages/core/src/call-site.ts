// Where the user called something: for faults that only the data shows, and for tensors used after they were freed, both
// of which come to light later.

import type { CallSite } from './backend'

/** Holds a stack without its text: formatting a stack costs more than taking it, and most are never read. */
export interface Stack {
  readonly stack?: string
}

/** The stack of whoever called `caller`, at most `frames` deep. */
export function stackOfCaller(caller: (...args: never[]) => unknown, frames: number): Stack {
  // Elsewhere than in V8 the stack begins inside core.
  if (!Error.captureStackTrace) return new Error()
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = frames
  const stack: Stack = {}
  Error.captureStackTrace(stack, caller)
  Error.stackTraceLimit = limit
  return stack
}

/** Whoever called `caller`, kept so that a fault the device finds later can name where it came from. */
export function callSite(op: string, caller: (...args: never[]) => unknown): CallSite {
  const place = stackOfCaller(caller, 8)
  return {
    op,
    get stack() {
      return place.stack
    },
  }
}
