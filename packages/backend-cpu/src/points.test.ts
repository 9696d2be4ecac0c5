// Selection of points: the same bits for any number of threads. What is selected, and whether that is right, is checked on every device in
// tooling/conformance.

import {
  ballQuery,
  createDevice,
  farthestPoints,
  hostNormal,
  hostUniform,
  nearestPoints,
  rngKey,
  scopeAsync,
  type Tensor,
} from '@ditkit/core'
import { describe, expect, test } from 'vitest'
import { open } from '../test/operands'
import { loadAddon } from './native'

const ISAS = loadAddon().describe()

/** Clouds [B, P, 3] of which a quarter is masked; on a lattice most distances tie. */
function cloud(seed: number, batch: number, total: number, lattice: boolean) {
  const [pointKey, maskKey] = rngKey(seed).split(2)
  const points = Float32Array.from(hostNormal(pointKey, 3 * batch * total), v => (lattice ? Math.round(2 * v) : v))
  const mask = Uint8Array.from(hostUniform(maskKey, batch * total), v => Number(v > 0.25))
  return { points, mask, batch, total }
}

/** Indices, distances and masks of all three ops, as bytes. */
async function selected(isa: string, threads: number, [batch, total, queries, lattice]: (typeof CASES)[number]) {
  const device = createDevice(open(isa, threads))
  const bytes = await scopeAsync(async s => {
    const results = s.run(() => {
      const upload = ({ points, mask, batch, total }: ReturnType<typeof cloud>): [Tensor, Tensor] => [
        device.tensor(points, [batch, total, 3]),
        device.tensor(mask, [batch, total], { dtype: 'bool' }),
      ]
      const [points, mask] = upload(cloud(1, batch, total, lattice))
      const [from, queryMask] = upload(cloud(2, batch, queries, lattice))
      const chosen = [
        farthestPoints(points, Math.min(total, 300), { mask }),
        nearestPoints(from, points, 17, { mask, queryMask }),
        ballQuery(from, points, 0.6, 24, { mask, queryMask }),
      ]
      return chosen.flatMap(each => Object.values(each) as Tensor[])
    })
    const read: string[] = []
    for (const result of results) read.push(Buffer.from((await result.data()).slice().buffer).toString('base64'))
    return read
  })
  device.dispose()
  return bytes
}

const CASES: [batch: number, total: number, queries: number, lattice: boolean][] = [
  [1, 20_000, 147, false],
  [1, 5000, 587, true],
  [3, 587, 59, true],
  [7, 1500, 31, false],
  [59, 147, 1, false],
]

describe.each(ISAS)('on %s', isa => {
  test.each(CASES)(
    '%i clouds of %i points give %i queries the same bits with 1, 2, 3 and 5 threads (lattice: %s)',
    async (...problem) => {
      const one = await selected(isa, 1, problem)
      expect(one).toHaveLength(8)
      for (const threads of [2, 3, 5]) expect((await selected(isa, threads, problem)).join() === one.join()).toBe(true)
    },
  )
})
