// DiT, outputs and all gradients, against PyTorch's float64 results on random weights none of which is zero.

import { cpu } from '@ditkit/backend-cpu'
import { readSafetensors } from '@ditkit/checkpoint/node'
import { backward, type Device, reference, scope } from '@ditkit/core'
import { largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DiTConfig } from '../src'
import { CONDITIONAL, fixturePath, hashed, hashedModel, UNCONDITIONAL, withoutKeyThird } from './configs'

// The fixture holds float32 numbers, so the float64 reference agrees to their rounding.
const devices = [
  { name: 'reference f64', make: () => reference({ dtype: 'f64' }), bound: 1e-7 },
  { name: 'cpu', make: () => cpu(), bound: 2e-5 },
]
const models: { name: string; config: DiTConfig; t: number[]; y?: number[] }[] = [
  { name: 'conditional', config: CONDITIONAL, t: [0, 37.25, 999], y: [4, 5, 0] },
  { name: 'unconditional', config: UNCONDITIONAL, t: [12.5, 870] },
]

describe.each(devices)('DiT on $name', ({ make, bound }) => {
  let device: Device
  beforeAll(async () => {
    device = await make()
  })
  afterAll(() => {
    expect(device.memory().liveTensors).toBe(0)
    device.dispose()
  })

  describe.each(models)('$name', ({ name, config, t, y }) => {
    it.each([false, true])('equals PyTorch in outputs and gradients (recomputeBlocks: %s)', async recomputeBlocks => {
      const expected = await readSafetensors(fixturePath(`dit-${name}.safetensors`))
      const model = await hashedModel(device, { ...config, recomputeBlocks }, `${name}/`)
      const [height, width] = model.grid.map(side => side * config.patchSize)
      const x = hashed(device, `${name}/x`, [t.length, config.inChannels, height, width])
      x.requiresGrad = true
      const out = scope(() => {
        const result = model.forward(x, t, y)
        backward(result, hashed(device, `${name}/gradient`, [...result.shape]))
        return result
      })
      const actual = new Map([
        ['out', out],
        ['x.grad', x.grad!],
        ['pos_embed', model.pos_embed],
      ])
      for (const [key, tensor] of model.namedParameters()) actual.set(`${key}.grad`, tensor.grad!)
      expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort())
      for (const [key, tensor] of actual) {
        const { data, shape } = expected.get(key)!
        expect(tensor.shape, key).toEqual(shape)
        const values = withoutKeyThird(key, await tensor.data())
        expect(largestError(values, withoutKeyThird(key, data as Float32Array)), key).toBeLessThan(bound)
      }
      for (const owner of [out, x, model]) owner.dispose()
    })
  })
})
