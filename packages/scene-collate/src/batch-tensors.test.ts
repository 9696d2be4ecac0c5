import { reference } from '@ditkit/core'
import { expect, test } from 'vitest'
import { batchTensors, collateScenes, type Scene } from './index'

const scenes: Scene[] = [1, 3].map(count => ({
  points: new Float32Array(3 * count).fill(count),
  fields: { inside: { data: Uint8Array.from({ length: count }, (_, i) => i % 2), width: 1 } },
  sets: { grasps: { data: Float32Array.from({ length: 2 * count }, (_, i) => count + i), width: 2 } },
  vectors: { size: { data: Float32Array.of(count), width: 1 } },
}))

test('a padded batch becomes tensors, and all of them are freed', async () => {
  const device = await reference()
  const tensors = batchTensors(collateScenes(scenes), device)
  expect(tensors.points.values.shape).toEqual([2, 3, 3])
  expect(tensors.points.mask.dtype).toBe('bool')
  expect([...(await tensors.points.mask.data())]).toEqual([1, 0, 0, 1, 1, 1])
  expect([...(await tensors.points.lengths.data())]).toEqual([1, 3])
  expect(tensors.fields.inside.dtype).toBe('bool')
  expect([...(await tensors.fields.inside.data())]).toEqual([0, 0, 0, 0, 1, 0])
  expect([...(await tensors.sets.grasps.values.data())]).toEqual([1, 2, 0, 0, 0, 0, 3, 4, 5, 6, 7, 8])
  expect([...(await tensors.vectors.size.data())]).toEqual([1, 3])
  expect(tensors.sets.grasps.values.shape).toEqual([2, 3, 2])
  expect(tensors.vectors.size.shape).toEqual([2, 1])
  tensors.dispose()
  expect(device.memory().liveTensors).toBe(0)
  device.dispose()
})

test('a packed batch becomes tensors with offsets', async () => {
  const device = await reference()
  const tensors = batchTensors(collateScenes(scenes, { layout: 'packed' }), device)
  expect(tensors.points.values.shape).toEqual([1, 4, 3])
  expect(tensors.points.offsets.dtype).toBe('i32')
  expect([...(await tensors.points.offsets.data())]).toEqual([0, 1, 4])
  expect([...(await tensors.sets.grasps.offsets.data())]).toEqual([0, 1, 4])
  tensors.dispose()
  expect(device.memory().liveTensors).toBe(0)
  device.dispose()
})
