// How long training would take on the reference device, which is for checking and far too slow for most else.

import { type Device, linear, scope } from '@ditkit/core'
import type { DiT } from '@ditkit/dit-model'
import type { Config } from './config/schema'
import { duration } from './report/progress'

/** Side of the product that is timed: large enough that the arithmetic dominates. */
const SIDE = 96

export function printReferenceEstimate(device: Device, model: DiT, config: Config): void {
  const tokens = model.grid[0] * model.grid[1]
  const blockWeights = [...model.namedParameters()]
    .filter(([name]) => /^blocks\.\d+\.(attn|mlp)\..*weight$/.test(name))
    .reduce((sum, [, tensor]) => sum + tensor.size, 0)
  // Each weight of a block is multiplied with every token once forward and twice backward.
  const products = 3 * blockWeights * tokens * config.train.batch * config.train.steps
  const seconds = products / productsPerSecond(device)
  console.log(
    `The reference device is for checking; these ${config.train.steps} steps take it about ${duration(seconds)}.`,
  )
}

function productsPerSecond(device: Device): number {
  return scope(() => {
    const a = device.ones([SIDE, SIDE])
    linear(a, a)
    const start = performance.now()
    linear(a, a)
    return (1000 * SIDE ** 3) / (performance.now() - start)
  })
}
