import { expect, test } from 'vitest'
import { BatchMemory, buffersOf } from './batch-memory'
import { collateChecked } from './collate'
import type { Scene } from './scene'

const scene = (points: number): Scene => ({
  points: new Float32Array(3 * points).fill(points),
  fields: { inside: { data: new Uint8Array(points).fill(1), width: 1 } },
  sets: { grasps: { data: new Float32Array(points).fill(-points), width: 1 } },
  vectors: { size: { data: Int32Array.of(points), width: 1 } },
})

test('from the second of a size on, a batch is one buffer, and a buffer that was given back serves again', () => {
  const memory = new BatchMemory()
  const collate = (points: number) => collateChecked([scene(points), scene(3)], {}, memory)
  collate(59)
  const second = collate(59)
  // The lengths of points and set are made apart.
  expect(buffersOf(second)).toHaveLength(3)
  const { buffer } = second.points.data
  memory.give([buffer as ArrayBuffer])
  const third = collate(7)
  expect(third.points.data.buffer).toBe(buffer)
  expect(third).toEqual(collateChecked([scene(7), scene(3)], {}))
})

test('a buffer too small for the largest batch so far is let go', () => {
  const memory = new BatchMemory()
  const collate = (points: number) => collateChecked([scene(points)], {}, memory)
  collate(7)
  const small = collate(7).points.data.buffer as ArrayBuffer
  collate(147)
  memory.give([small])
  const again = collate(7)
  expect(again.points.data.buffer).not.toBe(small)
  expect(again).toEqual(collateChecked([scene(7)], {}))
})
