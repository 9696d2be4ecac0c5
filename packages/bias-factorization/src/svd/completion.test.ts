import { type Device, hostNormal, hostUniform, reference, rngKey } from '@ditkit/core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { alibiFactors, denseBias, factorize } from '../index'
import { solveRows } from './solve-rows'

let f64: Device
let f32: Device
beforeAll(async () => {
  f64 = await reference({ dtype: 'f64' })
  f32 = await reference()
})
afterAll(() => {
  f64.dispose()
  f32.dispose()
})

const BLOCKED = Number.NEGATIVE_INFINITY

/** [rows, columns] of this rank, with entries blocked here and there. */
function scattered(rows: number, columns: number, rank: number, share: number): Float64Array {
  const [u, w] = [hostNormal(rngKey(1), rows * rank), hostNormal(rngKey(2), columns * rank)]
  const draw = hostUniform(rngKey(3), rows * columns)
  return Float64Array.from({ length: rows * columns }, (_, k) => {
    if (draw[k] < share) return BLOCKED
    let sum = 0
    for (let r = 0; r < rank; r++) sum += u[Math.floor(k / columns) * rank + r] * w[(k % columns) * rank + r]
    return sum
  })
}

it('causal ALiBi with −Infinity above the diagonal is of rank 2 all the same', async () => {
  const factors = alibiFactors(f64, { queryTokens: 64, keyTokens: 64, slopes: [0.5] })
  const values = Float64Array.from(await denseBias(factors).data(), (x, k) =>
    k % 64 > Math.floor(k / 64) ? BLOCKED : x,
  )
  const result = await factorize(f64.tensor(values, [64, 64]), { energy: 0.9999 })
  expect(result).toMatchObject({ kind: 'factored', rank: 2 })
})

it.each([1, 3, 5])('entries blocked here and there hide no rank: %d', async rank => {
  for (const [device, [rows, columns]] of [
    [f64, [60, 90]],
    [f64, [90, 60]],
    [f32, [147, 59]],
  ] as const) {
    const values = scattered(rows, columns, rank, 0.3)
    const result = await factorize(device.tensor(values, [rows, columns]), { energy: 0.99999 })
    expect(result).toMatchObject({ kind: 'factored', rank })
    if (result.kind === 'dense') return
    const made = await denseBias(result.factoredBias).data()
    const errors = values.map((x, k) => (x === BLOCKED ? 0 : Math.abs(x - made[k])))
    expect(Math.abs(Math.max(...errors) - result.residual.largest)).toBeLessThan(1e-5)
    expect(result.energy).toBeGreaterThanOrEqual(0.99999)
    expect(made.every(Number.isFinite)).toBe(true)
  }
})

it('at a given rank fits what is not blocked better than with 0 in its place', async () => {
  const values = scattered(60, 90, 4, 0.3)
  const result = await factorize(f64.tensor(values, [60, 90]), { maxRank: 4 })
  expect(result).toMatchObject({ kind: 'factored', rank: 4 })
  if (result.kind === 'dense') return
  expect(result.energy).toBeGreaterThan(0.999)
})

it('leaves nothing behind', async () => {
  const own = await reference()
  const bias = own.tensor(scattered(60, 90, 5, 0.3), [60, 90])
  for (const options of [{ energy: 0.999 }, { energy: 0.999, maxRank: 3 }, { maxRank: 2 }]) {
    const result = await factorize(bias, options)
    if (result.kind === 'factored') {
      for (const t of [result.factoredBias.query, result.factoredBias.key, result.mask]) t?.dispose()
    }
    expect(own.memory().liveTensors).toBe(1)
  }
  own.dispose()
})

it('solves small symmetric systems, singular ones too', () => {
  // [[4, 2], [2, 3]]·x = (8, 7), 0·x = 0, and [[1, 1], [1, 1]]·x = (2, 2), whose smallest answer is (1, 1).
  const x = solveRows([4, 0, 1, 2, 0, 1, 2, 0, 1, 3, 0, 1], [8, 0, 2, 7, 0, 2], 2, 3)
  for (const [i, expected] of [1.25, 0, 1, 1.5, 0, 1].entries()) expect(Math.abs(x[i] - expected)).toBeLessThan(1e-5)
})
