import { attention, backward, type Device, hostNormal, reference, rngKey, type Tensor } from '@ditkit/core'
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { splitBias } from '../index'

let device: Device
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
})
afterAll(() => device.dispose())
afterEach(() => vi.restoreAllMocks())

const BLOCKED = Number.NEGATIVE_INFINITY

/** [2, 3, 5, 7], some entries of it blocked, but none of key 0. */
function biasValues(): Float64Array {
  const values = Float64Array.from(hostNormal(rngKey(1), 2 * 3 * 5 * 7))
  return values.map((x, i) => (i % 7 !== 0 && i % 3 === 0 ? BLOCKED : x))
}

it('attention with the parts is attention with the whole, gradients too', async () => {
  const run = async (apart: boolean) => {
    const q = device.tensor(hostNormal(rngKey(2), 2 * 5 * 3 * 4), [2, 5, 3, 4], { requiresGrad: true })
    const k = device.tensor(hostNormal(rngKey(3), 2 * 7 * 3 * 4), [2, 7, 3, 4], { requiresGrad: true })
    const bias = device.tensor(biasValues(), [2, 3, 5, 7], { requiresGrad: true })
    const out = attention(q, k, k, apart ? await splitBias(bias) : { bias })
    backward(out, device.ones(out.shape))
    return Promise.all([out, ...[q, k, bias].map(t => t.grad as Tensor)].map(t => t.data()))
  }
  expect(await run(true)).toEqual(await run(false))
})

it('joins the given mask with what the bias blocks, and reads nothing behind it', async () => {
  const values = Float64Array.of(1, BLOCKED, 3, Number.NaN, 5, Number.POSITIVE_INFINITY)
  const mask = device.tensor(Uint8Array.of(1, 1, 1, 0, 1, 0), [2, 3])
  const parts = await splitBias(device.tensor(values, [2, 3]), { mask })
  expect(await parts.bias.data()).toEqual(Float64Array.of(1, 0, 3, 0, 5, 0))
  expect(await parts.mask?.data()).toEqual(Uint8Array.of(1, 0, 1, 0, 1, 0))
  expect(parts.bias.shape).toEqual([1, 1, 2, 3])
})

it('makes no mask where nothing is blocked', async () => {
  expect((await splitBias(device.ones([2, 3]))).mask).toBeUndefined()
})

it('refuses what is not finite, naming where it is', async () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const values = biasValues()
    values[105 + 35 + 15] = bad
    await expect(splitBias(device.tensor(values, [2, 3, 5, 7]))).rejects.toThrow(
      /NaN, \+Infinity.*\(sample 1, head 1, query 2\)/,
    )
  }
})

it('names shapes and dtypes that do not go together', async () => {
  await expect(splitBias(device.ones([3, 5, 7]))).rejects.toThrow('one per head is [1, H, Lq, Lk]')
  await expect(splitBias(device.ones([0, 7]))).rejects.toThrow('there is nothing in it')
  const bias = device.ones([1, 3, 5, 7])
  const mask = device.ones([2, 5, 7], { dtype: 'bool' })
  await expect(splitBias(bias, { mask })).rejects.toThrow('goes to attention alone')
  await expect(splitBias(bias, { mask: device.ones([5, 7]) })).rejects.toThrow('expected bool, true = may attend')
})

it('says once that a query or a sample may attend to nothing', async () => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
  const one = await reference({ dtype: 'f64' })
  const blockedRow = Float64Array.of(1, 1, BLOCKED, BLOCKED)
  for (let i = 0; i < 3; i++) await splitBias(one.tensor(blockedRow, [2, 2]))
  expect(warn).toHaveBeenCalledOnce()
  expect(warn.mock.calls[0][0]).toContain('a query may attend to nothing and gets 0 (sample 0, head 0, query 1')
  one.dispose()
  const other = await reference({ dtype: 'f64' })
  const mask = other.tensor(Uint8Array.of(1, 1, 0, 0), [2, 1, 2])
  await splitBias(other.ones([2, 1, 2, 2]), { mask })
  expect(warn.mock.calls[1][0]).toContain(
    'nothing in sample 1 may attend to anything. Should the mask have the other polarity?',
  )
  other.dispose()
})

it('leaves nothing behind', async () => {
  const other = await reference({ dtype: 'f64' })
  const bias = other.tensor(biasValues(), [2, 3, 5, 7])
  const parts = await splitBias(bias)
  parts.bias.dispose()
  parts.mask?.dispose()
  expect(other.memory().liveTensors).toBe(1)
  other.dispose()
})
