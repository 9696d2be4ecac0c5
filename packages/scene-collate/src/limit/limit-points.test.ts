import { hostNormal, permutation, reference, rngKey } from '@ditkit/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  collateScenes,
  farthestOnDevice,
  limitPoints,
  type PointLimit,
  pointCount,
  type Scene,
  selectPoints,
} from '../index'

/** Points whose feature says which point they are. */
function cloud(count: number, seed = 0): Scene {
  const points = Float32Array.from(hostNormal(rngKey(seed), 3 * count))
  return {
    points,
    fields: {
      normals: { data: points.map(x => -x), width: 3 },
      place: { data: Int32Array.from({ length: count }, (_, i) => i), width: 1 },
    },
    sets: { grasps: { data: Float32Array.of(1, 2), width: 2 } },
  }
}

const POLICIES: PointLimit[] = [
  { policy: 'farthest', count: 40 },
  { policy: 'random', count: 40, seed: 1 },
  { policy: 'voxel', count: 40, seed: 1 },
  { policy: 'voxel', count: 400, cellSize: 1, seed: 1 },
]

test.each(POLICIES)('$policy keeps at most $count points, all their fields with them', limit => {
  const scene = cloud(300)
  const limited = limitPoints(scene, limit)
  const count = pointCount(limited)
  expect(count).toBeLessThanOrEqual(limit.count)
  expect(count).toBeGreaterThan(limit.policy === 'voxel' ? 0.5 * Math.min(limit.count, 100) : limit.count - 1)
  const { normals, place } = limited.fields!
  expect(new Set(place.data).size).toBe(count)
  expect(limited.points).toEqual(selectPoints(scene, place.data).points)
  expect([...normals.data]).toEqual([...limited.points].map(x => -x))
  expect(limited.sets).toEqual(scene.sets)
})

test.each(POLICIES)('$policy keeps the same points in the same order, whatever order they come in', limit => {
  // Some points lie at one place and differ in their fields only.
  const whole = cloud(200)
  const doubled = selectPoints(whole, [...Array(200).keys(), 3, 3, 50, 51])
  const scene = {
    ...doubled,
    fields: { ...doubled.fields, mark: { data: new Int32Array(204).map((_, i) => i), width: 1 } },
  }
  const expected = limitPoints(scene, limit)
  fc.assert(
    fc.property(fc.nat(2 ** 30), seed => {
      const moved = limitPoints(selectPoints(scene, permutation(rngKey(seed), 204)), limit)
      expect(moved.points).toEqual(expected.points)
      if (limit.policy !== 'farthest') expect(moved.fields).toEqual(expected.fields)
    }),
    { numRuns: 20 },
  )
})

test('masked points are never kept, whatever they hold', () => {
  const scene = cloud(100)
  const mask = Uint8Array.from({ length: 100 }, (_, i) => (i % 3 === 0 ? 0 : 1))
  const junk = { ...scene, mask, points: scene.points.map((x, i) => (mask[Math.floor(i / 3)] ? x : Number.NaN)) }
  for (const limit of POLICIES) expect(limitPoints(junk, limit)).toEqual(limitPoints({ ...scene, mask }, limit))
})

test('a scene that is small enough stays as it is, but a cell size thins it all the same', () => {
  const scene = cloud(30)
  for (const limit of POLICIES.slice(0, 3)) expect(limitPoints(scene, limit)).toBe(scene)
  const corner = { points: Float32Array.of(0, 0, 0, 0.1, 0, 0, 0.9, 0.9, 0.9, 1.5, 0, 0, 3, 3, 3) }
  expect(pointCount(limitPoints(corner, { policy: 'voxel', count: 10, cellSize: 1 }))).toBe(3)
})

test('other seeds keep other points, at random with the same chance each', () => {
  const scene = cloud(20)
  const kept = new Float64Array(20)
  const rounds = 2000
  for (let seed = 0; seed < rounds; seed++)
    for (const i of limitPoints(scene, { policy: 'random', count: 5, seed }).fields!.place.data) kept[i]++
  // Five standard deviations of a share of 1/4.
  for (const times of kept) expect(Math.abs(times / rounds - 0.25)).toBeLessThan(5 * Math.sqrt(0.1875 / rounds))
  const voxels = (seed: number) => limitPoints(cloud(300), { policy: 'voxel', count: 40, seed }).points
  expect(voxels(1)).not.toEqual(voxels(2))
})

test('points of a voxel grid lie in cells of their own', () => {
  const { points } = limitPoints(cloud(300), { policy: 'voxel', count: 300, cellSize: 0.7 })
  const low = [0, 1, 2].map(axis => Math.min(...cloud(300).points.filter((_, i) => i % 3 === axis)))
  const cells = new Set<string>()
  for (let i = 0; i < points.length; i += 3)
    cells.add([0, 1, 2].map(axis => Math.floor((points[i + axis] - low[axis]) / 0.7)).join())
  expect(cells.size).toBe(points.length / 3)
})

test('a device picks the points that the host picks', async () => {
  const device = await reference()
  const scenes = [cloud(50, 1), cloud(10, 2), { ...cloud(90, 3), mask: new Uint8Array(90).fill(1, 0, 60) }]
  const onHost = scenes.map(scene => limitPoints(scene, { policy: 'farthest', count: 16 }))
  expect(await farthestOnDevice(scenes, 16, device)).toEqual(onHost)
  expect(device.memory().liveTensors).toBe(0)
  device.dispose()
})

test('scenes are limited on their way into a batch', () => {
  const batch = collateScenes([cloud(50), cloud(10)], { maxPoints: { policy: 'farthest', count: 16 } })
  expect([...batch.points.lengths]).toEqual([16, 10])
})

test('what makes no sense is refused', () => {
  expect(() => limitPoints(cloud(9), { policy: 'random', count: 0 })).toThrow(/count is 0/)
  expect(() => limitPoints(cloud(9), { policy: 'best' as 'random', count: 2 })).toThrow(
    /policy is "best", expected 'farthest'/,
  )
  expect(() => limitPoints(cloud(9), { policy: 'voxel', count: 2, cellSize: 0 })).toThrow(/cellSize is 0/)
  expect(() => limitPoints(cloud(9), { policy: 'voxel', count: 2, cellSize: 1e-9 })).toThrow(/at most 2\^17 cells/)
  const nan = { name: 'depth', points: Float32Array.of(1, 2, Number.NaN) }
  expect(() => limitPoints(nan, { policy: 'voxel', count: 2 })).toThrow(/scene "depth": points: has NaN or infinite/)
})
