// Why a tensor was freed, and where: for the error of whoever uses it afterwards.

import { type Stack, stackOfCaller } from './call-site'

/** What freed a tensor, as it goes on after "freed by"; and where that was, if a user would look there. */
export interface FreedBy {
  readonly what: string
  readonly site?: Stack
}

/** Enough to see who asked for it; each costs most of a microsecond. */
const FRAMES = 3

/** Freed by `what`, in whoever called `caller`. Costs microseconds: whoever frees many tensors notes the place once. */
export function freedBy(what: string, caller: (...args: never[]) => unknown): FreedBy {
  return { what, site: stackOfCaller(caller, FRAMES) }
}

/** The lines of the place, empty where none was noted. */
export function showPlace({ site }: FreedBy): string {
  const lines = site?.stack?.split('\n').filter(line => line.includes(' at ')) ?? []
  return lines.join('\n')
}
