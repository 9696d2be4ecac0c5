// ditkit's matrix product, and how far it is from float64.

import { type Device, linear, noGrad, normal, rngKey, scope } from '@ditkit/core'
import type { Work } from './ditkit-subject'
import type { GemmProblem } from './problem'

/** Rows of the result that are compared with float64. */
const CHECKED_ROWS = 16

export function gemmWork(device: Device, { m, n, k }: GemmProblem): Work {
  const [a, b] = rngKey(0).split(2)
  const x = normal(device, [m, k], a)
  const weight = normal(device, [n, k], b)
  const product = () => noGrad(() => linear(x, weight))
  return {
    enqueue(times) {
      for (let i = 0; i < times; i++) scope(() => void product())
    },
    async accuracy() {
      const result = product()
      const [xs, ws, ys] = await Promise.all([x.data(), weight.data(), result.data()])
      result.dispose()
      let worst = 0
      let largest = 0
      for (let at = 0; at < CHECKED_ROWS; at++) {
        const i = Math.floor((at * m) / CHECKED_ROWS)
        for (let j = 0; j < n; j++) {
          let exact = 0
          for (let p = 0; p < k; p++) exact += xs[i * k + p] * ws[j * k + p]
          worst = Math.max(worst, Math.abs(ys[i * n + j] - exact))
          largest = Math.max(largest, Math.abs(exact))
        }
      }
      return worst / largest
    },
  }
}
