// A DiT whose blocks multiply in bf16: how far its outputs and gradients are from those in f32. Measured on this model: output 1.4e-3,
// gradients 2.2e-3, worst weight 3.5e-3 (PyTorch's autocast: 5.4e-3, 6.1e-3, 9.9e-3; tooling/oracle/bf16_autocast.py).

import { cpu } from '@ditkit/backend-cpu'
import { backward, type ComputeDType, type Device, mseLoss, scope } from '@ditkit/core'
import { hashIntegers, relativeDistance } from '@ditkit/oracle'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { DiTConfig } from '../src'
import { BLOBS, hashed, hashedModel, withoutKeyThird } from './configs'

const BATCH = 8
const SHAPE = [BATCH, 1, 16, 16]

let device: Device
beforeAll(async () => {
  device = await cpu()
})
afterAll(() => {
  expect(device.memory().liveTensors).toBe(0)
  device.dispose()
})

/** Loss, output and all gradients. */
async function evaluate(computeDtype: ComputeDType, change: Partial<DiTConfig> = {}) {
  const model = await hashedModel(device, { ...BLOBS, ...change, computeDtype }, 'blobs/')
  const t = Array.from({ length: BATCH }, (_, i) => 100 * i + 37.5)
  const [loss, out] = scope(() => {
    const out = model.forward(hashed(device, 'blobs/x', SHAPE), t, hashIntegers('blobs/y', BATCH, 10))
    const loss = mseLoss(out, hashed(device, 'blobs/target', SHAPE))
    backward(loss)
    return [loss, out]
  })
  const gradients = new Map<string, number[]>()
  for (const [name, { grad }] of model.namedParameters()) gradients.set(name, withoutKeyThird(name, await grad!.data()))
  const result = { loss: await loss.item(), out: await out.data(), gradients }
  for (const owner of [loss, out, model]) owner.dispose()
  return result
}

it('bf16 moves loss, output and gradients by what rounding operands costs, and no more', async () => {
  const [exact, rounded] = [await evaluate('f32'), await evaluate('bf16')]
  expect(Math.abs(rounded.loss / exact.loss - 1)).toBeLessThan(1e-3)
  expect(relativeDistance(rounded.out, exact.out)).toBeLessThan(3e-3)
  for (const [name, wanted] of exact.gradients) {
    const distance = relativeDistance(rounded.gradients.get(name)!, wanted)
    expect(distance, name).toBeLessThan(7e-3)
    // Were it less, the products would not have been in bf16.
    expect(distance, name).toBeGreaterThan(2e-4)
  }
})

it('four products of a block are in bf16, with both of their gradients, and no others', async () => {
  const products = vi.spyOn(device.backend, 'matmul')
  const counted = async (depth: number) => {
    products.mockClear()
    await evaluate('bf16', { depth })
    const inBf16 = products.mock.calls.filter(([, , , epilogue]) => epilogue?.computeDtype === 'bf16').length
    return { inBf16, others: products.mock.calls.length - inBf16 }
  }
  const [none, two] = [await counted(0), await counted(2)]
  products.mockRestore()
  expect(none.inBf16).toBe(0)
  expect(two.inBf16).toBe(2 * 4 * 3)
  // The modulation's, and its gradients.
  expect(two.others - none.others).toBe(2 * 3)
})

it('activations computed again round as they did', async () => {
  expect(await evaluate('bf16', { recomputeBlocks: true })).toEqual(await evaluate('bf16'))
})

it('a model of no blocks has nothing to round', async () => {
  expect(await evaluate('bf16', { depth: 0 })).toEqual(await evaluate('f32', { depth: 0 }))
})
