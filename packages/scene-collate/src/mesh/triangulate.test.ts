import { expect, test } from 'vitest'
import { parseObj } from '../read/obj'
import { surfaceArea } from './sample-surface'
import { triangulate } from './triangulate'

/** The same polygon lying in each plane of the axes, and aslant. */
const PLANES: ((u: number, v: number) => number[])[] = [
  (u, v) => [u, v, 0],
  (u, v) => [0, u, v],
  (u, v) => [v, 0, u],
  (u, v) => [u, v, u + 2 * v],
]

/** An L: 4 x 4 without its upper right 3 x 3. */
const L = [0, 0, 4, 0, 4, 1, 1, 1, 1, 4, 0, 4]

for (const [i, plane] of PLANES.entries()) {
  for (const start of [0, 2, 4, 5]) {
    test(`a polygon with a dent keeps its area and its winding (plane ${i}, from corner ${start})`, () => {
      const corners = Array.from({ length: 6 }, (_, c) => (c + start) % 6)
      const vertices = Array.from({ length: 6 }, (_, c) => plane(L[2 * c], L[2 * c + 1])).flat()
      const faces = Int32Array.from(triangulate(corners, vertices), corner => corners[corner])
      const area = surfaceArea({ vertices: Float32Array.from(vertices), faces })
      expect(area).toBeCloseTo(7 * (i === 3 ? Math.sqrt(6) : 1), 5)
      for (let t = 0; t < faces.length; t += 3) {
        const [[au, av], [bu, bv], [cu, cv]] = [0, 1, 2].map(k => L.slice(2 * faces[t + k], 2 * faces[t + k] + 2))
        expect((bu - au) * (cv - av) - (bv - av) * (cu - au)).toBeGreaterThan(0)
      }
    })
  }
}

test('a convex polygon is a fan', () => {
  expect(triangulate([0, 1, 2, 3], [0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0])).toEqual([0, 1, 2, 0, 2, 3])
})

test('a polygon without area is a fan, for others to drop', () => {
  expect(triangulate([0, 1, 2, 3], new Array(12).fill(1))).toEqual([0, 1, 2, 0, 2, 3])
})

test('an OBJ with a ring drawn as one polygon has its hole', () => {
  const square = (half: number) =>
    [
      [-1, -1],
      [1, -1],
      [1, 1],
      [-1, 1],
    ].map(([x, y]) => `v ${half * x} ${half * y} 0`)
  const mesh = parseObj([...square(2), ...square(1), 'f 1 2 3 4 1 5 8 7 6 5'].join('\n'))
  expect(surfaceArea(mesh)).toBeCloseTo(12, 5)
})
