// Numbers for call sites, so that native code can name where a fault belongs. Calls from one place share a number; the
// map is bounded, as a program may have any number of places.

import type { CallSite } from '@ditkit/core'

export const MAX_SITES = 4096

interface Site {
  readonly site: CallSite
  readonly message?: string
}

export class Sites {
  private readonly numbers = new Map<string, number>()
  private readonly sites = new Map<number, Site & { key: string }>()
  private next = 1

  /** The number of a call site (and of what a check at it reports). */
  numberOf(site: CallSite, message?: string): number {
    const key = `${site.op}\n${message ?? ''}\n${site.stack ?? ''}`
    const known = this.numbers.get(key)
    if (known !== undefined) return known
    const number = this.next++
    this.numbers.set(key, number)
    this.sites.set(number, { site, message, key })
    if (this.sites.size > MAX_SITES) {
      const [oldest, { key: oldKey }] = this.sites.entries().next().value!
      this.sites.delete(oldest)
      this.numbers.delete(oldKey)
    }
    return number
  }

  find(number: number): Site | undefined {
    return this.sites.get(number)
  }
}
