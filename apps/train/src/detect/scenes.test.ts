import { rngKey } from '@ditkit/core'
import { describe, expect, it } from 'vitest'
import { HouseholdObject, loadObjects } from '../data/objects/objects'
import { birdEyeGrid, CELL_CHANNELS } from './bird-eye'
import { BOX_SIZE, FIELD, footprint, readBox, toField, writeBox } from './box'
import {
  camerasAround,
  DEPTHS,
  IMAGE,
  PATCH_CHANNELS,
  PATCH_COLUMNS,
  PATCH_ROWS,
  PATCH_SHARE,
  project,
  projectionOf,
  renderPatches,
} from './camera'
import { CATEGORIES, categoryOf } from './categories'
import { DetectScenes } from './scenes'

const objects = loadObjects()
const few = objects.filter(({ entry }) => entry.triangles < 2000).slice(0, 10)
const options = { mostObjects: 4, points: [200, 300], cameraPoints: 600, grid: 16, cameras: 2, jitter: 0.002 } as const
const scenesOf = (seed: number) => new DetectScenes(few, options, rngKey(seed))

describe('categories', () => {
  it('go by whole words of the text', () => {
    const named = (text: string) => CATEGORIES[categoryOf(text)]
    expect(['an espresso cup on a saucer', 'a pair of glasses', 'a wine glass', 'a wine bottle'].map(named)).toEqual([
      'cup',
      'wearable',
      'cup',
      'bottle',
    ])
    expect(named('a pancake')).toBe('other')
  })

  it('of held-out objects were seen in training', () => {
    const of = (split: string) =>
      new Set(objects.filter(({ entry }) => entry.split === split).map(({ text }) => categoryOf(text)))
    expect([...of('train')].sort((a, b) => a - b)).toEqual(CATEGORIES.map((_, i) => i))
    expect(of('held-out').size).toBeGreaterThan(5)
  })
})

it('a box comes back from its numbers, its yaw up to half a turn', () => {
  const box = { category: 3, center: [0.1, -0.2, 0.05], size: [0.3, 0.02, 0.1], yaw: 2.5 } as const
  const numbers = new Float32Array(BOX_SIZE + 2)
  writeBox(box, numbers, 2)
  const { center, size, yaw } = readBox(numbers, 2, 3)
  for (const axis of [0, 1, 2]) {
    expect(center[axis]).toBeCloseTo(box.center[axis], 6)
    expect(size[axis]).toBeCloseTo(box.size[axis], 6)
  }
  expect(yaw).toBeCloseTo(2.5 - Math.PI, 5)
})

describe('DetectScenes', () => {
  it('makes the same scene of the same keys, in whatever order, and another look of another key', () => {
    const [first, second] = [scenesOf(1), scenesOf(1)]
    second.scene(5)
    expect(second.scene(3)).toEqual(first.scene(3))
    expect(second.scene(3, rngKey(7))).toEqual(first.scene(3, rngKey(7)))
    expect(first.scene(3, rngKey(8)).cells).not.toEqual(first.scene(3, rngKey(7)).cells)
    expect(scenesOf(2).scene(3).boxes).not.toEqual(first.scene(3).boxes)
  })

  it('keeps boxes in the field, and the points in the boxes, however it is turned', () => {
    const scenes = scenesOf(3)
    for (let i = 0; i < 6; i++) {
      const { boxes, points } = scenes.scene(i, rngKey(i))
      for (const corner of boxes.flatMap(footprint))
        for (const value of corner) expect(Math.abs(value)).toBeLessThan(FIELD.half + 1e-6)
      for (const { center } of boxes)
        for (const share of toField(center)) {
          expect(share).toBeGreaterThan(0)
          expect(share).toBeLessThan(1)
        }
      for (let p = 0; p < points.length; p += 3) {
        const inside = boxes.some(({ center, size, yaw }) => {
          const [dx, dy] = [points[p] - center[0], points[p + 1] - center[1]]
          const along = [Math.cos(yaw) * dx + Math.sin(yaw) * dy, Math.cos(yaw) * dy - Math.sin(yaw) * dx]
          // Five deviations of the noise.
          return along.every((value, axis) => Math.abs(value) < size[axis] / 2 + 0.01)
        })
        expect(inside).toBe(true)
      }
    }
  })

  it('says so when there are too few objects, or none finds room', () => {
    expect(() => new DetectScenes(few.slice(0, 1), options, rngKey(1))).toThrow('of one there are 1')
    const wide = few.map(
      ({ entry }, i) =>
        new HouseholdObject({ ...entry, id: `${i}`, low: [-0.4, -0.4, 0], high: [0.4, 0.4, 0.1] }, () => {
          throw new Error('not needed')
        }),
    )
    expect(() => new DetectScenes(wide, options, rngKey(1)).scene(0)).toThrow('choose a smaller data.most_objects')
  })

  it('shows the modalities different points', () => {
    const { cells, patches } = scenesOf(4).scene(0)
    expect(cells.length).toBe(16 * 16 * CELL_CHANNELS)
    expect(patches.length).toBe(2 * 80 * PATCH_CHANNELS)
    const column = (values: Float32Array, width: number, at: number) =>
      values.filter((_, i) => i % width === at).reduce((a, b) => a + b, 0)
    expect(column(cells, CELL_CHANNELS, 0)).toBeGreaterThan(8)
    // More pixels than the grid has points: they cannot be its.
    expect(column(patches, PATCH_CHANNELS, PATCH_SHARE) * IMAGE.patch ** 2).toBeGreaterThan(300)
  })
})

describe('birdEyeGrid', () => {
  it('counts, and finds lowest, highest and mean in the cell that a point lies in', () => {
    const size = (2 * FIELD.half) / 4
    const points = Float32Array.of(0.01, 0.02, 0.1, 0.03, 0.04, 0.3, -0.49, 0.49, 0.2, 0.7, 0, 0)
    const normals = Float32Array.of(0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1)
    const cells = birdEyeGrid(points, normals, 4)
    const cell = (row: number, column: number) => [
      ...cells.subarray((row * 4 + column) * CELL_CHANNELS, (row * 4 + column + 1) * CELL_CHANNELS),
    ]
    const expected = [1, Math.log2(3) / 4, 0.4, 1.2, 0.02 / size - 0.5, 0.03 / size - 0.5, 0.08, 0.12, 0.5, 0, 0.5]
    for (const [i, value] of cell(2, 2).entries()) expect(value).toBeCloseTo(expected[i], 5)
    expect(cell(3, 0).slice(2, 4)).toEqual([Math.fround(0.8), Math.fround(0.8)])
    expect(cells.filter(value => value !== 0).length).toBe(10 + 9)
  })
})

describe('cameras', () => {
  const [camera] = camerasAround(3)

  it('see the middle of the table in the middle, and the far side above the near one', () => {
    const [u, v, depth] = project(camera, [0, 0, 0.08])
    expect([u, v, depth].map(value => Number(value.toFixed(6)))).toEqual([IMAGE.width / 2, IMAGE.height / 2, 1.5])
    expect(project(camera, [-0.3, 0, 0])[1]).toBeLessThan(project(camera, [0.3, 0, 0])[1])
  })

  it('show of two points on one ray the nearer', () => {
    const far = Float32Array.of(0, 0, 0.08)
    const near = far.map((value, axis) => value - 0.2 * camera.forward[axis])
    const patches = renderPatches(camera, Float32Array.of(...far, ...near), Float32Array.of(0, 0, 1, ...camera.right))
    const tokens = Array.from({ length: PATCH_COLUMNS * PATCH_ROWS }, (_, token) =>
      patches.subarray(token * PATCH_CHANNELS, (token + 1) * PATCH_CHANNELS),
    )
    const [seen, ...others] = tokens.filter(token => token[PATCH_SHARE] > 0)
    expect(others).toEqual([])
    expect(seen[PATCH_SHARE]).toBeCloseTo(1 / 64, 9)
    for (const axis of [0, 1, 2]) expect(seen[PATCH_SHARE + 1 + axis]).toBeCloseTo(4 * near[axis], 5)
    const pixel = seen.indexOf(1)
    expect(seen[pixel + 1]).toBeCloseTo(-0.8, 5)
    expect(seen[pixel + 2]).toBeCloseTo(1, 6)
  })

  it('project as their matrix does, and see the field at the depths that are said', () => {
    for (const place of [
      [0.1, -0.3, 0.2],
      [-0.5, 0.5, 0],
      [0.5, 0.5, 0.5],
    ] as const) {
      const matrix = projectionOf(camera)
      const [a, b, depth] = [0, 1, 2].map(row =>
        [...place, 1].reduce((sum, value, k) => sum + matrix[row * 4 + k] * value, 0),
      )
      const [u, v, expected] = project(camera, place)
      expect([a / depth, b / depth, depth].map(value => value.toFixed(6))).toEqual(
        [u, v, expected].map(value => value.toFixed(6)),
      )
      expect(depth).toBeGreaterThan(DEPTHS.from)
      expect(depth).toBeLessThan(DEPTHS.to)
    }
  })
})
