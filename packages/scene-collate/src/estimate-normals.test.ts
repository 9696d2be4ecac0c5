import { hostNormal, hostUniform, rngKey } from '@ditkit/core'
import { describe, expect, it } from 'vitest'
import { estimateNormals } from './index'

describe('estimateNormals', () => {
  it('of points on a sphere are the radii, outward', () => {
    const points = Float32Array.from(hostNormal(rngKey(0), 3 * 800))
    for (let i = 0; i < points.length; i += 3) {
      const length = Math.hypot(points[i], points[i + 1], points[i + 2])
      for (let axis = 0; axis < 3; axis++) points[i + axis] /= length
    }
    const normals = estimateNormals(points)
    for (let i = 0; i < points.length; i += 3) {
      const cosine = points[i] * normals[i] + points[i + 1] * normals[i + 1] + points[i + 2] * normals[i + 2]
      expect(cosine).toBeGreaterThan(0.95)
    }
  })

  it('of points in a plane are at right angles to it, and turn towards a viewpoint', () => {
    const points = Float32Array.from(hostUniform(rngKey(1), 3 * 59), (value, i) => (i % 3 === 2 ? 0 : value))
    const up = estimateNormals(points, { viewpoint: [0, 0, 5] })
    const down = estimateNormals(points, { viewpoint: [0, 0, -5] })
    for (let i = 2; i < points.length; i += 3) {
      expect(up[i]).toBeCloseTo(1, 6)
      expect(down[i]).toBeCloseTo(-1, 6)
    }
  })

  it('at some of the points are those among the normals of all', () => {
    const points = Float32Array.from(hostNormal(rngKey(2), 3 * 147))
    const some = points.slice(3 * 59)
    for (const options of [{}, { neighbors: 7, viewpoint: [0, 0, 9] as const }])
      expect(estimateNormals(points, { ...options, at: some })).toEqual(estimateNormals(points, options).slice(3 * 59))
    expect(() => estimateNormals(new Float32Array(), { at: some })).toThrow('88 places need points')
  })

  it('are unit vectors for one point and for points that are all one', () => {
    for (const count of [1, 7]) {
      const normals = estimateNormals(new Float32Array(3 * count).fill(2))
      for (let i = 0; i < normals.length; i += 3) expect(Math.hypot(...normals.subarray(i, i + 3))).toBeCloseTo(1, 6)
    }
    expect(estimateNormals(new Float32Array())).toEqual(new Float32Array())
  })

  it('refuses neighbourhoods that are no surface, and points that are not finite', () => {
    expect(() => estimateNormals(new Float32Array(9), { neighbors: 2 })).toThrow('neighbors is 2')
    expect(() => estimateNormals(Float32Array.of(0, 0, Number.NaN))).toThrow(/finite|NaN/)
  })
})
