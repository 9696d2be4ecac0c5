import { rngKey } from '@ditkit/core'
import { expect, test } from 'vitest'
import { type Mesh, sampleSurface, surfaceArea } from '../index'

/** A large and a small triangle and two without area. */
const mesh: Mesh = {
  name: 'tent',
  vertices: Float32Array.of(0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 1, 1, 0, 0),
  faces: Int32Array.of(0, 0, 1, 0, 1, 2, 0, 5, 1, 0, 4, 3),
}

test('points lie on the triangles, by area, with the normals of their triangles', () => {
  const count = 20_000
  const { points, fields } = sampleSurface(mesh, count, rngKey(1))
  let onLarge = 0
  let off = 0
  const mean = [0, 0, 0]
  for (let i = 0; i < count; i++) {
    const [x, y, z] = points.subarray(3 * i, 3 * i + 3)
    const normal = [...fields!.normals.data.subarray(3 * i, 3 * i + 3)]
    if (normal[2] === 1) {
      onLarge++
      for (const [axis, value] of [x, y, z].entries()) mean[axis] += value
      if (!(z === 0 && x >= 0 && y >= 0 && x / 3 + y / 2 <= 1 + 1e-6)) off++
    } else {
      if (!(normal[0] === 1 && x === 0 && y >= 0 && y <= z + 1e-6 && z <= 1)) off++
    }
  }
  expect(off).toBe(0)
  expect(surfaceArea(mesh)).toBeCloseTo(3.5)
  // Five standard deviations of a share of 6/7, and of the mean over a triangle.
  expect(Math.abs(onLarge / count - 6 / 7)).toBeLessThan(5 * Math.sqrt(6 / 49 / count))
  for (const [axis, expected] of [1, 2 / 3, 0].entries())
    expect(Math.abs(mean[axis] / onLarge - expected)).toBeLessThan(0.03)
})

test('the sample is a function of the key, and a larger one begins with the same points', () => {
  const sample = (seed: number, count: number) => sampleSurface(mesh, count, rngKey(seed)).points
  expect(sample(1, 50)).toEqual(sample(1, 200).slice(0, 150))
  expect(sample(1, 50)).not.toEqual(sample(2, 50))
})

test.each<[string, Partial<Mesh>, RegExp]>([
  ['no faces', { faces: new Int32Array(0) }, /mesh "tent": faces: there is none/],
  ['no area', { faces: Int32Array.of(0, 0, 1, 0, 5, 1) }, /faces: none of the 2 triangles has an area/],
  ['a vertex that is not there', { faces: Int32Array.of(0, 1, 6) }, /faces: face 0 names vertex 6, expected 0 to 5/],
  [
    'NaN',
    { vertices: mesh.vertices.map((v, i) => (i === 7 ? Number.NaN : v)) },
    /vertices: vertex 2 has NaN in column 1/,
  ],
])('a mesh with %s is refused', (_, change, message) => {
  expect(() => sampleSurface({ ...mesh, ...change }, 10, rngKey(0))).toThrow(message)
})
