// The bias of detectors as their configurations describe it: which shape on which route, and that both routes add the same.

import { matmul, noGrad, normal, permute, rngKey, scope, type Tensor, uniform } from '@ditkit/core'
import { expect, it } from 'vitest'
import { loadConfig } from '../config/load'
import type { TabletopConfig } from '../config/schema'
import { openDevice } from '../device'
import { buildDetector } from './build-detector'

function configured(...overrides: string[]) {
  const { config } = loadConfig('detect', overrides)
  return { config, data: config.data as TabletopConfig }
}

it('a Gaussian adds as factors what it adds as a dense bias, to within the stated 0.05 of its top, at the sizes of the recipe', async () => {
  const routes = ['detect.bias=dense', 'detect.bias=factored'].map(route =>
    configured(route, 'detect.bias_shape=gaussian'),
  )
  const device = await openDevice(routes[0].config)
  const biasOf = async ({ config, data }: ReturnType<typeof configured>) => {
    const model = buildDetector(device, rngKey(1), config, data)
    const generator = model.bias_generator!
    const [summary, position] = [
      normal(device, [1, config.model.hidden], rngKey(2)),
      normal(device, [1, 59, config.model.hidden], rngKey(3)),
    ]
    const views = [1, data.cameras].map((count, i) => ({ at: uniform(device, [1, 59, count, 2], rngKey(4 + i)) }))
    const bias = noGrad(() =>
      scope(() => {
        const { bias, factoredBias } = generator.forward(position, [summary, summary], views).options
        const headFirst = (x: Tensor) => permute(x, [0, 2, 1, 3])
        return bias ?? matmul(headFirst(factoredBias!.query), permute(factoredBias!.key, [0, 2, 3, 1]))
      }),
    )
    const values = await bias.data()
    const { rank, error } = generator
    for (const owner of [bias, summary, position, ...views.map(({ at }) => at), model]) owner.dispose()
    return { values, rank, error, shape: bias.shape }
  }
  const [dense, factored] = [await biasOf(routes[0]), await biasOf(routes[1])]
  expect(factored.shape).toEqual(dense.shape)
  expect([dense.rank, dense.error]).toEqual([0, 0])
  expect(factored.rank).toBeGreaterThan(0)
  expect(factored.error).toBeLessThan(0.05)
  // scale · weight before training.
  const top = 2.5 * 0.5
  const apart = Array.from(dense.values, (x, i) => Math.abs(Number(x) - Number(factored.values[i])))
  expect(Math.max(...apart)).toBeGreaterThan(0)
  expect(Math.max(...apart)).toBeLessThan(1.1 * 0.05 * top)
  expect(device.memory().liveTensors).toBe(0)
  device.dispose()
})

it('has the shape and the route that are asked for', async () => {
  const { config, data } = configured()
  const device = await openDevice(config)
  const biasOf = (...overrides: string[]) => {
    const model = buildDetector(device, rngKey(1), configured(...overrides).config, data)
    const { bias, biasShape } = model.config
    model.dispose()
    return [bias, biasShape]
  }
  const gaussian = { type: 'gaussian', sigma: { lidar: 0.12, cameras: 0.25 }, tolerance: 0.05 }
  expect(biasOf()).toEqual(['factored', gaussian])
  expect(biasOf('detect.bias=dense')).toEqual(['dense', { type: 'window', cells: 7 }])
  expect(biasOf('detect.bias=dense', 'detect.bias_shape=gaussian')).toEqual(['dense', gaussian])
  device.dispose()
})
