// Prints the list of ops as JSON, for the oracle script (see README.md).

import { OPS } from './ops'

console.log(JSON.stringify(OPS.map(({ name, inputs, torch, flat }) => ({ name, inputs, torch, flat: flat ?? false }))))
