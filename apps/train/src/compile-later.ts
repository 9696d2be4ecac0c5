// Has V8 optimise what is really hot only. Its compilers run on the processors that the device computes on, and a training step calls most of
// its functions a few times: compiling each within the first hundred steps took twice the time that running them did.

import { setFlagsFromString } from 'node:v8'

/** Three times that of V8 itself, in bytes of bytecode run. Loops over data, and an op called thousands of times, are optimised all the same. */
const INTERRUPT_BUDGET = 200_000

/** Only for Node 20, as later versions have no such setting: they count calls, and more of them. */
export function compileLater(): void {
  if (process.versions.v8.startsWith('11.')) setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET}`)
}
