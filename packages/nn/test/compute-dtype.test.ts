// Layers that multiply in bf16: all of their products do, forward and backward, and their weights and results stay f32.

import { backward, type ComputeDType, type Device, reference, rngKey, scope, type Tensor } from '@ditkit/core'
import { hashNormal } from '@ditkit/oracle'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { Linear, MLP, type Module, MultiheadAttention } from '../src'

let device: Device
beforeAll(async () => {
  device = await reference()
})
afterAll(() => {
  expect(device.memory().liveTensors).toBe(0)
  device.dispose()
})

const key = rngKey(1)
type Layer = Module & { forward(x: Tensor): Tensor }
const LAYERS: [string, number, (options: { computeDtype?: ComputeDType }) => Layer][] = [
  ['Linear', 1, options => new Linear(device, key, 8, 12, options)],
  ['MLP', 2, options => new MLP(device, key, 8, 20, options)],
  ['MultiheadAttention', 2, options => new MultiheadAttention(device, key, 8, 2, options)],
]

it.each(LAYERS)('%s: each product and its two gradients', (name, count, make) => {
  const products = vi.spyOn(device.backend, 'matmul')
  const inBf16 = (options: { computeDtype?: ComputeDType }) => {
    products.mockClear()
    const layer = make(options)
    scope(() => {
      const x = device.tensor(hashNormal('x', [2, 5, 8]), [2, 5, 8], { requiresGrad: true })
      const out = layer.forward(x)
      expect(out.dtype).toBe('f32')
      backward(out, device.tensor(hashNormal('g', [...out.shape]), out.shape))
    })
    layer.dispose()
    return products.mock.calls.filter(([, , , epilogue]) => epilogue?.computeDtype === 'bf16').length
  }
  expect(inBf16({ computeDtype: 'bf16' }), name).toBe(3 * count)
  expect(inBf16({})).toBe(0)
  products.mockRestore()
})
