import { reference, reshape, scope, slice } from '@ditkit/core'
import { hashUniform } from '@ditkit/oracle'
import { expect, it } from 'vitest'
import { PROJECTION } from '../../test/cross-modal-models'
import { normalizedProjection, pointsAlongRays, project } from './camera-geometry'

it('the points along a pixel’s ray are seen in that pixel', async () => {
  const device = await reference({ dtype: 'f64' })
  const { uv, visible, pixels } = scope(() => {
    const projection = device.tensor(PROJECTION, [1, 2, 3, 4])
    const pixels = device.tensor(hashUniform('uv', 2 * 4 * 2), [1, 2, 4, 2])
    const rays = pointsAlongRays(projection, pixels, device.tensor([0.5, 1.5], [2]))
    expect(rays.shape).toEqual([1, 2, 4, 6])
    // The last point of each of the first camera's rays.
    const points = reshape(slice(slice(rays, 1, 0, 1), 3, 3, 6), [1, 4, 3])
    return { ...project(points, projection), pixels }
  })
  const [got, wanted] = [await uv.data(), await pixels.data()]
  for (let i = 0; i < 8; i++) expect(got[i]).toBeCloseTo(wanted[i] as number, 12)
  expect([...(await visible.data())].slice(0, 4)).toEqual([1, 1, 1, 1])
  for (const tensor of [uv, visible, pixels]) tensor.dispose()
})

it('a point behind a camera is not visible, and neither is one beside its image', async () => {
  const device = await reference({ dtype: 'f64' })
  // Looks along x from the origin, x ahead, the image 2 wide and 2 high at depth 1.
  const projection = device.tensor([0.5, -0.5, 0, 0, 0.5, 0, -0.5, 0, 1, 0, 0, 0], [1, 1, 3, 4])
  const points = device.tensor([1, 0, 0, -1, 0, 0, 1, 3, 0, 2, 1, -1, 0, 0, 0], [1, 5, 3])
  const { uv, visible } = project(points, projection)
  expect([...(await visible.data())]).toEqual([1, 0, 0, 1, 0])
  expect([...(await uv.data())]).toEqual([0.5, 0.5, 0, 0, -1, 0.5, 0.25, 0.75, 0, 0])
})

it('normalizedProjection takes the scene box and the image to 0 … 1', async () => {
  const device = await reference({ dtype: 'f64' })
  // 100 pixels per unit at depth 1; x ahead, y to the left, z up, from the origin.
  const matrix = [200, -100, 0, 0, 100, 0, -100, 0, 1, 0, 0, 0, 0, 0, 0, 1]
  const box = { low: [-10, -20, -2], high: [30, 20, 2] } as const
  const rows = normalizedProjection(matrix, box, { width: 400, height: 200 })
  expect(normalizedProjection(matrix.slice(0, 12), box, { width: 400, height: 200 })).toEqual(rows)
  // The point (10, 5, 1) in metres is at pixel (200 − 50, 100 − 10).
  const point = device.tensor([20 / 40, 25 / 40, 3 / 4], [1, 1, 3])
  const { uv, visible } = project(point, device.tensor(rows, [1, 1, 3, 4]))
  expect([...(await uv.data())].map(x => Math.round(x * 1e9) / 1e9)).toEqual([150 / 400, 90 / 200])
  expect([...(await visible.data())]).toEqual([1])
  expect(() => normalizedProjection([1], box, { width: 1, height: 1 })).toThrow('expected 12 or 16')
  expect(() => normalizedProjection(new Array(12).fill(0), box, { width: 1, height: 1 })).toThrow('no inverse')
  expect(() => normalizedProjection(matrix, { low: [0, 0, 0], high: [1, 0, 1] }, { width: 1, height: 1 })).toThrow(
    'above 0',
  )
})
