import { hostNormal, hostUniform, rngKey } from '@ditkit/core'
import { applyTransform, invertTransform, type Scene } from '@ditkit/scene-collate'
import { describe, expect, it } from 'vitest'
import { aboveTable } from './table-plane'

const uniform = (seed: number, rows: number, low: number[], high: number[]) => {
  const draws = hostUniform(rngKey(seed), 3 * rows)
  return Float32Array.from(draws, (value, i) => low[i % 3] + value * (high[i % 3] - low[i % 3]))
}

/** A table of 1 × 0.6 m at height 0.7 m with a box of 10 cm on it, above a smaller floor and before a wall; every point off by a millimetre or so. */
function scan(): { points: Float32Array; box: number } {
  const box = uniform(1, 300, [0.2, 0.1, 0.72], [0.3, 0.2, 0.8])
  const parts = [
    box,
    uniform(2, 3000, [0, 0, 0.7], [1, 0.6, 0.7]),
    uniform(3, 800, [-1, -1, 0], [2, 2, 0]),
    uniform(4, 4000, [-1, 1, 0], [2, 1, 2]),
    uniform(5, 40, [0.1, 0.1, 1.3], [0.9, 0.5, 1.5]),
  ]
  const points = Float32Array.from(parts.flatMap(part => [...part]))
  const noise = hostNormal(rngKey(6), points.length)
  return { points: points.map((value, i) => value + 0.001 * noise[i]), box: box.length }
}

describe('aboveTable', () => {
  it('keeps what stands on the table, levelled, however the scan is tilted and turned', () => {
    const { points, box } = scan()
    for (const [x, y] of [
      [0, 0],
      [0.4, 0],
      [-0.3, 0.5],
    ]) {
      const w = Math.sqrt(1 - (x / 2) ** 2 - (y / 2) ** 2)
      const tilt = { rotation: [w, x / 2, y / 2, 0], scale: 1, translation: [0.3, -2, 1] } as const
      const tilted: Scene = { ...applyTransform({ points }, tilt), transform: undefined }
      const found = aboveTable(tilted, rngKey(7))!
      const kept = found.points.length / 3
      expect(kept).toBe(box / 3)
      const heights = found.points.filter((_, i) => i % 3 === 2)
      expect(Math.min(...heights)).toBeGreaterThan(0.01)
      expect(Math.min(...heights)).toBeLessThan(0.025)
      expect(Math.max(...heights)).toBeGreaterThan(0.095)
      expect(Math.max(...heights)).toBeLessThan(0.105)
      // The table itself is off by the scan's noise alone: all of it was fitted, not three points.
      const table = applyTransform({ points: tilted.points.slice(box, box + 9000) }, found.transform!).points
      const squares = table.reduce((sum, z, i) => (i % 3 === 2 ? sum + z * z : sum), 0)
      expect(Math.sqrt(squares / 3000)).toBeLessThan(1.05e-3)
      const back = applyTransform(found, invertTransform(found.transform!)).points
      for (const i of [0, 1, 2]) expect(back[i]).toBeCloseTo(tilted.points[i], 5)
    }
  })

  it('takes the fields of the points along', () => {
    const { points, box } = scan()
    const place = Int32Array.from({ length: points.length / 3 }, (_, i) => i)
    const found = aboveTable({ points, fields: { place: { data: place, width: 1 } } }, rngKey(8))!
    expect([...found.fields!.place.data]).toEqual([...place.subarray(0, box / 3)])
  })

  it('finds no table in a wall, and nothing on an empty one', () => {
    const wall = uniform(9, 400, [0, 1, 0], [1, 1, 1])
    expect(aboveTable({ points: wall }, rngKey(1))).toBeUndefined()
    expect(aboveTable({ points: Float32Array.of(0, 0, 0, 1, 0, 0) }, rngKey(1))).toBeUndefined()
    const empty = uniform(10, 400, [0, 0, 0], [1, 1, 0])
    expect(aboveTable({ points: empty }, rngKey(1))!.points).toHaveLength(0)
  })
})
