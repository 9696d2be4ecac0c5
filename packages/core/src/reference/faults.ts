// Faults that only the data shows: the first one is kept and rejects the next read or sync, naming op and call.

import type { CallSite } from '../backend'

export class Faults {
  private first: Error | undefined

  report(site: CallSite, message: string): void {
    const caller = site.stack?.split('\n').find(line => /^\s*at |^\S*@/.test(line))
    this.first ??= new Error(`${site.op}: ${message}${caller ? ` (called ${caller.trim()})` : ''}`)
  }

  /** Throws the first fault, once. */
  raise(): void {
    const fault = this.first
    this.first = undefined
    if (fault) throw fault
  }
}
