import { type Device, reference, scope, type Tensor } from '@ditkit/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { clipImpliedData, convertPrediction, cosinePath, linearPath, type Path } from './index'

let device: Device
beforeEach(async () => {
  device = await reference({ dtype: 'f64' })
})
afterEach(() => expect(device.memory().liveTensors).toBe(0))

/** The data that the clipped velocity implies at x_t, where the unclipped one implies `data`. */
async function clippedData(data: number[], path: Path, quantile?: number) {
  const got = scope(() => {
    const [x, x1] = [device.full([2, 4], 0.3), device.tensor(data, [2, 4])]
    const velocity = (x: Tensor, t: number) => convertPrediction(path, 'data', 'velocity', x1, x, t)
    const clipped = clipImpliedData(velocity, { path, ...(quantile !== undefined && { quantile }) })
    return convertPrediction(path, 'velocity', 'data', clipped(x, 0.4), x, 0.4)
  })
  const values = [...(await got.data())]
  got.dispose()
  return values
}

const near = (got: number[], want: number[]) =>
  got.forEach((value, i) => {
    expect(value).toBeCloseTo(want[i], 9)
  })

const DATA = [0.1, -4, 2, 3, 0.1, -0.4, 0.2, 0.3]

describe('clipping the implied data', () => {
  it('clamps it to [−1, 1] on any path', async () => {
    for (const path of [linearPath, cosinePath]) {
      near(await clippedData(DATA, path), [0.1, -1, 1, 1, 0.1, -0.4, 0.2, 0.3])
    }
  })

  it('thresholds it sample by sample, at the quantile of its magnitudes where that is above 1', async () => {
    near(await clippedData(DATA, linearPath, 0.6), [0.1 / 3, -1, 2 / 3, 1, 0.1, -0.4, 0.2, 0.3])
  })

  it('leaves the velocity at t = 1 as it is', () => {
    const x = device.zeros([2, 4])
    expect(clipImpliedData(x => x)(x, 1)).toBe(x)
    x.dispose()
  })

  it('refuses a quantile outside 0 … 1', () => {
    expect(() => clipImpliedData(x => x, { quantile: 99.5 })).toThrow(/quantile is 99.5/)
  })
})
