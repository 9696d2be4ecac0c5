// Selection of points on the host, against selection by looking at everything, in the arithmetic that is promised.

import { expect, test } from 'vitest'
import { hostBallQuery, hostFarthestPoints, hostNearestPoints } from '..'
import { fillNormals, fillWords } from '../random/philox'

const { fround } = Math

type Cloud = { points: Float32Array; mask: Uint8Array }

/** A cloud of normal coordinates, or of few distinct ones; about a fifth of it NaN and masked. */
function cloud(seed: number, total: number, kind: 'spread' | 'lattice' | 'far'): Cloud {
  const values = fillNormals(seed, 1, 3 * total)
  const coordinate = {
    spread: (v: number) => v,
    lattice: (v: number) => Math.round(v),
    far: (v: number) => 1000 + v / 100,
  }[kind]
  const points = Float32Array.from(values, coordinate)
  const mask = Uint8Array.from(fillWords(seed, 2, total), word => Number(word % 5 !== 0))
  for (let i = 0; i < total; i++)
    if (!mask[i]) points.fill(i % 2 ? Number.NaN : Number.POSITIVE_INFINITY, 3 * i, 3 * i + 3)
  return { points, mask }
}

const KINDS = ['spread', 'lattice', 'far'] as const
const SIZES = [1, 7, 59, 147, 587]

function squaredDistance(a: Float32Array, i: number, b: Float32Array, j: number): number {
  const [dx, dy, dz] = [0, 1, 2].map(axis => fround(a[3 * i + axis] - b[3 * j + axis]))
  return fround(fround(fround(dx * dx) + fround(dy * dy)) + fround(dz * dz))
}

/** Order among the equally far: by coordinates, then by index. */
function byPlace(points: Float32Array) {
  return (i: number, j: number) =>
    [0, 1, 2].map(axis => order(points[3 * i + axis], points[3 * j + axis])).find(sign => sign !== 0) ?? i - j
}

/** −0 comes before 0. */
function order(a: number, b: number): number {
  return a - b || Number(Object.is(b, -0)) - Number(Object.is(a, -0))
}

const valid = ({ mask }: Cloud) => [...mask.keys()].filter(i => mask[i])

function bruteFarthest(c: Cloud, start: number, count: number): number[] {
  const distances = new Map(valid(c).map(i => [i, Number.POSITIVE_INFINITY]))
  const chosen: number[] = []
  for (let next = start; chosen.length < count && distances.size > 0; ) {
    chosen.push(next)
    distances.delete(next)
    for (const [i, d] of distances) distances.set(i, Math.min(d, squaredDistance(c.points, i, c.points, next)))
    const farthest = Math.max(...distances.values())
    next = [...distances.keys()].filter(i => distances.get(i) === farthest).sort(byPlace(c.points))[0]
  }
  return chosen
}

function bruteNearest(query: Float32Array, c: Cloud, limit: number, count: number): [number, number][] {
  return valid(c)
    .map(i => [i, squaredDistance(c.points, i, query, 0)] as [number, number])
    .filter(([, d]) => d <= limit)
    .sort(([i, a], [j, b]) => a - b || byPlace(c.points)(i, j))
    .slice(0, count)
}

for (const kind of KINDS) {
  for (const total of SIZES) {
    test(`farthest points are those of looking at all (${kind}, ${total})`, () => {
      const c = cloud(total, total, kind)
      for (const count of [1, 2, 30, total + 1]) {
        const got = [...hostFarthestPoints(c.points, count, { mask: c.mask })]
        expect(got).toEqual(valid(c).length === 0 ? [] : bruteFarthest(c, got[0], count))
      }
    })

    test(`nearest points are those of looking at all (${kind}, ${total})`, () => {
      const c = cloud(total, total, kind)
      const queries = cloud(total + 1, 20, kind).points
      const queryMask = Uint8Array.from({ length: 20 }, (_, q) => Number(Number.isFinite(queries[3 * q])))
      for (const count of [1, 5, 33, total]) {
        const found = {
          all: [hostNearestPoints(queries, c.points, count, { mask: c.mask, queryMask }), Number.POSITIVE_INFINITY],
          ball: [hostBallQuery(queries, c.points, 0.7, count, { mask: c.mask, queryMask }), fround(fround(0.7) ** 2)],
        } as const
        for (const [{ indices, squaredDistances, mask }, limit] of Object.values(found)) {
          for (let q = 0; q < 20; q++) {
            const wanted = queryMask[q] ? bruteNearest(queries.subarray(3 * q), c, limit, count) : []
            const got = Array.from({ length: count }, (_, i) => [
              indices[q * count + i],
              squaredDistances[q * count + i],
            ])
            expect(got.slice(0, wanted.length)).toEqual(wanted)
            expect(
              got
                .slice(wanted.length)
                .flat()
                .every(value => value === 0),
            ).toBe(true)
            expect([...mask.subarray(q * count, (q + 1) * count)]).toEqual(got.map((_, i) => Number(i < wanted.length)))
          }
        }
      }
    })
  }
}

test('the first point is the one farthest from the mean', () => {
  const c = cloud(3, 587, 'spread')
  const center = [0, 1, 2].map(axis => valid(c).reduce((sum, i) => sum + c.points[3 * i + axis], 0) / valid(c).length)
  const distance = (i: number) => Math.hypot(...center.map((m, axis) => c.points[3 * i + axis] - m))
  const [first] = hostFarthestPoints(c.points, 1, { mask: c.mask })
  expect(distance(first)).toBe(Math.max(...valid(c).map(distance)))
})

test('the order of the points has no influence on what is chosen', () => {
  for (const kind of KINDS) {
    const c = cloud(11, 587, kind)
    const moved = cloud(12, 587, kind)
    const order = [...c.mask.keys()].sort((i, j) => ((i * 7919) % 587) - ((j * 7919) % 587))
    for (const [to, from] of order.entries()) {
      moved.points.set(c.points.subarray(3 * from, 3 * from + 3), 3 * to)
      moved.mask[to] = c.mask[from]
    }
    const coordinates = ({ points, mask }: Cloud) =>
      Array.from(hostFarthestPoints(points, 200, { mask }), i => [...points.subarray(3 * i, 3 * i + 3)])
    expect(coordinates(moved)).toEqual(coordinates(c))
  }
})

test('points so far apart that distances overflow are chosen all the same', () => {
  const points = Float32Array.of(3e38, 0, 0, -3e38, 0, 0, 0, 3e38, 0, 1, 2, 3)
  expect([...hostFarthestPoints(points, 9)].sort()).toEqual([0, 1, 2, 3])
  const { mask, squaredDistances } = hostNearestPoints(Float32Array.of(0, 0, 0), points, 4)
  expect([...mask]).toEqual([1, 1, 1, 1])
  expect(squaredDistances[3]).toBe(Number.POSITIVE_INFINITY)
})

test('points too close for their distances to be told apart are all chosen once', () => {
  const points = Float32Array.from({ length: 300 }, (_, i) => i * 1e-30)
  expect([...hostFarthestPoints(points, 100)].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i))
})

test('a point at exactly the radius is within it', () => {
  const points = Float32Array.of(0.1, 0, 0, 0, 0.3, 0)
  for (const [radius, found] of [
    [0.1, 1],
    [0.3, 2],
    [0.0999, 0],
  ]) {
    expect(hostBallQuery(new Float32Array(3), points, radius, 2).mask.reduce((a, b) => a + b)).toBe(found)
  }
})

test('what is wrong is named', () => {
  const points = new Float32Array(12)
  const bad = Float32Array.of(0, 0, 0, 0, Number.NaN, 0)
  expect(() => hostFarthestPoints(points, 0)).toThrow('hostFarthestPoints: count is 0 (expected a whole number ≥ 1)')
  expect(() => hostFarthestPoints(new Float32Array(4), 1)).toThrow('positions has 4 numbers (expected a multiple of 3')
  expect(() => hostFarthestPoints(points, 1, { mask: [1] })).toThrow('mask has 1 entries but there are 4 positions')
  expect(() => hostFarthestPoints(points, 1, { mask: [0, 1, 2, 1] })).toThrow('mask[2] is 2 (expected 0 or 1)')
  expect(() => hostFarthestPoints(bad, 1)).toThrow('positions[1] is (0, NaN, 0), which is not finite')
  expect(() => hostNearestPoints(points, bad, 1)).toThrow('points[1] is (0, NaN, 0), which is not finite')
  expect(() => hostBallQuery(points, points, -1, 1)).toThrow('hostBallQuery: radius is -1 (expected a number > 0)')
  expect(() => hostFarthestPoints([1, 2, 3] as never, 1)).toThrow('positions is not a Float32Array')
})
