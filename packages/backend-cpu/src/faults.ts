// Turns what native code reports into the Error that a read or sync rejects with.

import type { NativeFault } from './native'
import type { Sites } from './sites'

// As in native/runtime/fault.h.
const INDEX = 1
const CHECK = 2

export function faultError(fault: NativeFault, sites: Sites): Error {
  const [kind, number, index, position, bound, message] = fault
  if (kind !== INDEX && kind !== CHECK) return new Error(`cpu: ${message}; results on this device are no longer valid`)
  const found = sites.find(number)
  const what =
    kind === CHECK
      ? (found?.message ?? 'a check failed')
      : `index ${index} at position ${position} is outside 0 … ${bound - 1} (the table has ${bound} rows)`
  const caller = found?.site.stack?.split('\n').find(line => /^\s*at |^\S*@/.test(line))
  return new Error(`${found?.site.op ?? 'cpu'}: ${what}${caller ? ` (called ${caller.trim()})` : ''}`)
}
