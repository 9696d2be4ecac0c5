// What attention allocates: nothing of size Lq×Lk, forward or backward, and nothing that stays.

import { cpuFlash } from '@ditkit/backend-cpu'
import {
  type AttentionOptions,
  backward,
  chunkedAttention,
  type Device,
  hostNormal,
  packedAttention,
  reference,
  rngKey,
  type Tensor,
} from '@ditkit/core'
import { describe, expect, it } from 'vitest'
import { testDevices } from '../src/devices'

const SMALL = chunkedAttention({ queries: 32, keys: 32 })

const subjects = [
  {
    name: `${SMALL.name} on reference`,
    tokens: 256,
    kernel: SMALL.name,
    skipped: undefined,
    open: () => reference({ attention: [SMALL] }),
  },
  ...testDevices()
    .filter(device => device.name.startsWith('cpu'))
    .flatMap(device =>
      ['chunked', cpuFlash().name].map(kernel => ({
        ...device,
        name: `${kernel} on ${device.name}`,
        tokens: 2048,
        kernel,
      })),
    ),
]

const HEADS = 2
const DIM = 8

function project(device: Device, tokens: number): Tensor {
  const shape = [1, tokens, 3, HEADS, DIM]
  return device.tensor(Float32Array.from(hostNormal(rngKey(1), tokens * 3 * HEADS * DIM)), shape, {
    requiresGrad: true,
  })
}

for (const { name, tokens, kernel, open, skipped } of subjects) {
  describe.skipIf(skipped)(`memory of attention: ${name}${skipped ? ` (skipped: ${skipped})` : ''}`, () => {
    it('grows with Lq + Lk, not with Lq·Lk', async () => {
      const device = await open()
      const qkv = project(device, tokens)
      const options: AttentionOptions = {
        kernel,
        causal: true,
        keyMask: device.tensor(new Uint8Array(tokens).fill(1, 0, tokens - 5), [1, tokens]),
        dropout: 0.1,
        rng: rngKey(2),
      }
      const before = device.memory().peakBytes
      const out = packedAttention(qkv, options)
      backward(out, device.ones(out.shape))
      await device.sync()
      const scores = HEADS * tokens * tokens * 4
      expect(device.memory().peakBytes - before).toBeLessThan(scores / 2)
      device.dispose()
    })

    it('returns to where it was', async () => {
      const device = await open()
      const qkv = project(device, 64)
      const gradient = device.ones([1, 64, HEADS, DIM])
      const step = async () => {
        const bias = device.zeros([64, 64], { requiresGrad: true })
        const out = packedAttention(qkv, { kernel, bias, dropout: 0.1, rng: rngKey(2) })
        backward(out, gradient)
        for (const t of [out, bias, qkv.grad as Tensor]) t.dispose()
        qkv.grad = undefined
        await device.sync()
        const { liveTensors, liveBytes } = device.memory()
        return { liveTensors, liveBytes }
      }
      const first = await step()
      for (let i = 0; i < 3; i++) expect(await step()).toEqual(first)
      device.dispose()
    })
  })
}
