// Numbers for call sites, so that native code can name where a fault belongs. A site is kept until a read or sync has
// reported what went wrong before it; their number is bounded, as a program may never read.

import type { CallSite } from '@ditkit/core'

export const MAX_SITES = 16384

interface Site {
  readonly site: CallSite
  readonly message?: string
}

export class Sites {
  /** In the order of their numbers. */
  private readonly sites = new Map<number, Site>()
  private next = 1

  /** A number for a call (and for what a check at it reports). */
  numberOf(site: CallSite, message?: string): number {
    const number = this.next++
    this.sites.set(number, { site, message })
    if (this.sites.size > MAX_SITES) this.forget(number - MAX_SITES + 1)
    return number
  }

  find(number: number): Site | undefined {
    return this.sites.get(number)
  }

  /** Above every number given so far. */
  get end(): number {
    return this.next
  }

  /** Drops the sites numbered below `end`. */
  forget(end: number): void {
    for (const number of this.sites.keys()) {
      if (number >= end) return
      this.sites.delete(number)
    }
  }
}
