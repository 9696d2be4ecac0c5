// A single op of ditkit, called as training code calls it: in scopes of some hundred ops.

import {
  add,
  type Device,
  gelu,
  layerNorm,
  mul,
  noGrad,
  normal,
  rngKey,
  scope,
  softmax,
  sum,
  type Tensor,
} from '@ditkit/core'
import type { Work } from './ditkit-subject'
import type { OpName, OpProblem } from './problem'

const OPS: Record<OpName, (x: Tensor, y: Tensor) => Tensor> = {
  add,
  mul,
  gelu: x => gelu(x),
  softmax: x => softmax(x),
  layerNorm: x => layerNorm(x),
  sum: x => sum(x),
}
const OPS_PER_SCOPE = 100

export function opWork(device: Device, { op, rows, columns, tape }: OpProblem): Work {
  const [a, b] = rngKey(0).split(2)
  const x = normal(device, [rows, columns], a)
  const y = normal(device, [rows, columns], b)
  x.requiresGrad = y.requiresGrad = tape
  const run = OPS[op]
  // Large results are freed one by one, as they would be by what follows.
  const perScope = tape ? OPS_PER_SCOPE : 1
  const some = (count: number) => {
    for (let i = 0; i < count; i++) run(x, y)
  }
  return {
    enqueue(times) {
      for (let left = times; left > 0; left -= perScope) {
        const count = Math.min(left, perScope)
        scope(() => (tape ? some(count) : noGrad(() => some(count))))
      }
    },
  }
}
