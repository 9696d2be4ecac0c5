// SceneDiT, outputs and all gradients, against PyTorch's float64 results on random weights none of which is zero.

import { cpu } from '@ditkit/backend-cpu'
import { readSafetensors } from '@ditkit/checkpoint/node'
import { backward, type Device, reference, scope, type Tensor } from '@ditkit/core'
import { largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SceneDiTConfig } from '../src'
import { fixturePath, hashed, withoutKeyThird } from './configs'
import { disposeBatch, hashedSceneDiT, hostBatch, onDevice, POINTNET } from './scene-models'

// The fixture holds float32 numbers, so the float64 reference agrees to their rounding.
const devices = [
  { name: 'reference f64', make: () => reference({ dtype: 'f64' }), bound: 1e-7 },
  { name: 'cpu', make: () => cpu(), bound: 2e-5 },
]
const configs: Record<string, Partial<SceneDiTConfig>> = {
  cross: {},
  options: { qkNorm: true, pooledCondition: true, timeGate: true, posePositions: 'learned', maxPoses: 4 },
  adaln: { conditioning: 'adaLN', timeGate: true },
  plain: { conditioning: 'none', qkNorm: true },
  'double-stream': { blocks: 'double-stream', qkNorm: true, pooledCondition: true },
  'double-stream-plain': { blocks: 'double-stream', conditioning: 'none' },
}

describe.each(devices)('SceneDiT on $name', ({ make, bound }) => {
  let device: Device
  beforeAll(async () => {
    device = await make()
  })
  afterAll(() => {
    expect(device.memory().liveTensors).toBe(0)
    device.dispose()
  })

  describe.each(Object.entries(configs))('%s', (name, change) => {
    it.each([false, true])('equals PyTorch in outputs and gradients (recomputeBlocks: %s)', async recomputeBlocks => {
      const expected = await readSafetensors(fixturePath(`scene-dit-${name}.safetensors`))
      const model = await hashedSceneDiT(device, { ...POINTNET, ...change, recomputeBlocks }, `${name}/`)
      const host = hostBatch(name)
      // The last sample has no text.
      host.textMask.set([1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
      const batch = onDevice(device, host)
      const { x, poseMask, condition } = batch
      const out = scope(() => {
        const out = model.forward(x, [3.5, 700, 42], condition, { poseMask })
        backward(out, hashed(device, `${name}/gradient`, [...out.shape]))
        return out
      })
      const actual = new Map<string, Tensor>([
        ['out', out],
        ['x.grad', x.grad!],
        ['points.grad', condition.points.grad!],
        ['text.grad', condition.text.grad!],
      ])
      for (const [key, { grad }] of model.namedParameters()) actual.set(`${key}.grad`, grad!)
      expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort())
      for (const [key, tensor] of actual) {
        const { data, shape } = expected.get(key)!
        expect(tensor.shape, key).toEqual(shape)
        const values = withoutKeyThird(key, await tensor.data())
        expect(largestError(values, withoutKeyThird(key, data as Float32Array)), key).toBeLessThan(bound)
      }
      out.dispose()
      disposeBatch(batch)
      model.dispose()
    })
  })
})
