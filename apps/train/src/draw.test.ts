import { cpu } from '@ditkit/backend-cpu'
import { type Device, rngKey } from '@ditkit/core'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { loadConfig } from './config/load'
import { drawImages } from './draw'
import { buildModel } from './model/build'

let device: Device
beforeAll(async () => {
  device = await cpu()
})
afterAll(() => device.dispose())

describe('drawing images', () => {
  it.each([
    ['flow', 5], // at 0.3, 0.4 … 0.7
    ['ddpm', 4], // at 0.334, 0.445 … 0.667
  ])('by %s guides in the interval of the recipe alone, rescaled', async (kind, steps) => {
    const { config } = loadConfig('digits', [
      `objective=${kind}`,
      'model.hidden=8',
      'model.layers=1',
      'model.heads=2',
      'flow.sample_steps=10',
      'diffusion.sample_steps=10',
      'sample.guidance_interval=[0.25, 0.75]',
      'sample.guidance_rescale=0.7',
    ])
    const format = { channels: 1, size: 8, classes: ['a', 'b'] }
    const model = buildModel(device, rngKey(1), config, format)
    const guided = vi.spyOn(model, 'forwardWithGuidance')
    const labels = Int32Array.of(0, 1)
    await drawImages({ device, model, config, format, key: rngKey(2), labels, count: 2, guidance: 3 })
    const scales = guided.mock.calls.map(([, , , scale]) => scale)
    expect(scales.length).toBe(10)
    expect(scales[0]).toBe(1)
    expect(scales[5]).toBe(3)
    expect(scales[9]).toBe(1)
    expect(scales.filter(scale => scale === 3).length).toBe(steps)
    expect(guided.mock.calls[5][4]).toEqual({ rescale: 0.7 })
    model.dispose()
  })
})
