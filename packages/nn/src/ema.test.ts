import { type Device, reference, rngKey } from '@ditkit/core'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { EMA } from './ema'
import { Linear } from './linear'
import type { StateDict } from './state'

let device: Device
let layer: Linear
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
})
beforeEach(() => {
  layer = new Linear(device, rngKey(1), 2, 1)
  layer.freeze('bias')
})
afterEach(() => {
  layer.dispose()
  expect(device.memory().liveTensors).toBe(0)
})

const weights = (...data: number[]) => ({ weight: { shape: [1, 2], dtype: 'f64', data: new Float64Array(data) } })
const setWeight = (...data: number[]) => layer.loadStateDict(weights(...data), { strict: false })
const weightOf = (state: StateDict) => [...state.weight.data]

describe('EMA', () => {
  it('starts at the weights and follows them with its decay', async () => {
    await setWeight(1, 2)
    const ema = new EMA(layer, { decay: 0.75 })
    await setWeight(5, 2)
    ema.update()
    expect(weightOf(await ema.stateDict())).toEqual([2, 2])
    ema.update()
    expect(weightOf(await ema.stateDict())).toEqual([2.75, 2])
    expect(weightOf(await layer.stateDict())).toEqual([5, 2])
    ema.dispose()
  })

  it('warms up with (1 + n) / (10 + n)', async () => {
    await setWeight(0, 0)
    const ema = new EMA(layer, { decay: 0.99, warmup: true })
    await setWeight(11, 0)
    ema.update()
    expect(weightOf(await ema.stateDict())[0]).toBeCloseTo(11 * (1 - 2 / 11), 12)
    ema.updates = 10_000
    expect(ema.nextDecay()).toBe(0.99)
    ema.dispose()
  })

  it('is in the module while applied, and the trained weights are back afterwards, after an error too', async () => {
    await setWeight(1, 2)
    const ema = new EMA(layer, { decay: 0.5 })
    await setWeight(3, 4)
    expect(await ema.whileApplied(async () => weightOf(await layer.stateDict()))).toEqual([1, 2])
    expect(weightOf(await layer.stateDict())).toEqual([3, 4])
    const failing = ema.whileApplied(async () => {
      expect(() => ema.update()).toThrow(/holds the shadow weights/)
      expect(weightOf(await ema.stateDict())).toEqual([1, 2])
      throw new Error('out of disk')
    })
    await expect(failing).rejects.toThrow('out of disk')
    expect(weightOf(await layer.stateDict())).toEqual([3, 4])
    ema.dispose()
  })

  it('saves all of the module’s names, and resumes from them', async () => {
    const ema = new EMA(layer, { decay: 0.5, warmup: true })
    ema.update()
    const saved = await ema.stateDict()
    expect(Object.keys(saved)).toEqual(['weight', 'bias'])
    const resumed = new EMA(layer, { decay: 0.5, warmup: true })
    await resumed.loadStateDict(weights(8, 9), { updates: 7 })
    expect(weightOf(await resumed.stateDict())).toEqual([8, 9])
    expect(resumed.nextDecay()).toBe(0.5)
    await expect(resumed.loadStateDict({}, { updates: 7 })).rejects.toThrow(/weight is missing in the record/)
    ema.dispose()
    resumed.dispose()
  })
})
