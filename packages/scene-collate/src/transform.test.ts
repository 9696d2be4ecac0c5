import { rngKey } from '@ditkit/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  applyTransform,
  augmentScene,
  composeTransforms,
  datasetNormaliser,
  invertTransform,
  normaliseScene,
  type Scene,
  type SceneTransform,
  sceneNormaliser,
  selectPoints,
  transformValues,
} from './index'

const number = fc.double({ min: -2, max: 2, noNaN: true })
const vector = fc.tuple(number, number, number)
const transforms: fc.Arbitrary<SceneTransform> = fc
  .record({
    q: fc.tuple(number, number, number, number),
    scale: fc.double({ min: 0.2, max: 3, noNaN: true }),
    translation: vector,
  })
  .filter(({ q }) => Math.hypot(...q) > 0.1)
  .map(({ q, scale, translation }) => {
    const length = Math.hypot(...q)
    return { rotation: q.map(x => x / length) as never, scale, translation }
  })

/** R · v by v + 2w (u × v) + 2 u × (u × v), another formula than the one under test. */
function rotate([w, ...u]: readonly number[], v: readonly number[]): number[] {
  const cross = (a: readonly number[], b: readonly number[]) => [
    a[1] * b[2] - a[2] * b[1],
    a[2] * b[0] - a[0] * b[2],
    a[0] * b[1] - a[1] * b[0],
  ]
  const once = cross(u, v)
  const twice = cross(u, once)
  return v.map((x, i) => x + 2 * w * once[i] + 2 * twice[i])
}

function expectClose(got: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 2e-5): void {
  expect(got.length).toBe(expected.length)
  expect(Math.max(...Array.from(got, (x, i) => Math.abs(x - expected[i])))).toBeLessThan(tolerance)
}

const PARTS = ['position', 'direction', 'rotation-6d', 'quaternion-wxyz', 'quaternion-xyzw', 'length', 2] as const
// A turn by 90° about z: its first two columns, and its quaternion in both orders.
const POSE = [
  0.1,
  0.2,
  0.3,
  0,
  0,
  1,
  0,
  1,
  0,
  -1,
  0,
  0,
  Math.SQRT1_2,
  0,
  0,
  Math.SQRT1_2,
  0,
  0,
  Math.SQRT1_2,
  Math.SQRT1_2,
  0.08,
  5,
  6,
]

test('positions, directions, rotations and lengths move as the points do, other columns stay', () => {
  fc.assert(
    fc.property(transforms, t => {
      const out = transformValues(Float32Array.from([...POSE, ...POSE]), PARTS, t)
      const moved = (p: readonly number[]) => rotate(t.rotation, p).map((x, i) => t.scale * x + t.translation[i])
      expectClose(out.subarray(0, 3), moved([0.1, 0.2, 0.3]))
      expectClose(out.subarray(3, 6), rotate(t.rotation, [0, 0, 1]))
      expectClose(out.subarray(6, 9), rotate(t.rotation, [0, 1, 0]))
      expectClose(out.subarray(9, 12), rotate(t.rotation, [-1, 0, 0]))
      // What the turned quaternion does to x and y is what the 6-D rotation says.
      for (const q of [out.subarray(12, 16), [out[19], out[16], out[17], out[18]]]) {
        expectClose(rotate([...q], [1, 0, 0]), out.subarray(6, 9))
        expectClose(rotate([...q], [0, 1, 0]), out.subarray(9, 12))
      }
      expectClose(out.subarray(20), [t.scale * 0.08, 5, 6, ...out.subarray(0, 20), t.scale * 0.08, 5, 6])
    }),
  )
  expect(() => transformValues(new Float32Array(5), ['position'], invertTransform(sceneNormaliser(scene)))).toThrow(
    /5 numbers are no rows of 3/,
  )
})

const scene: Scene = {
  name: 'table',
  points: Float32Array.of(1, 2, 3, 2, 2, 3, 1, 4, 3, 1, 2, 9),
  fields: {
    normals: { data: Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, -1), width: 3 },
    weight: { data: Float32Array.of(1, 2, 3, 4), width: 1 },
  },
  sets: { grasps: { data: Float32Array.from(POSE), width: 23, parts: PARTS } },
  vectors: { goal: { data: Float32Array.of(1, 1, 1), width: 3, parts: ['position'] } },
}

/** All numbers of a scene. */
const numbers = (s: Scene) =>
  [
    s.points,
    ...[s.fields, s.sets, s.vectors].flatMap(group => Object.values(group ?? {}).map(field => field.data)),
  ].flatMap(data => [...data])

test('any sequence of moves is undone by the inverse of what the scene carries', () => {
  fc.assert(
    fc.property(transforms, transforms, (a, b) => {
      const moved = applyTransform(applyTransform(scene, a), b)
      expectClose(numbers(moved), numbers(applyTransform(scene, composeTransforms(a, b))), 1e-4)
      expectClose(numbers(applyTransform(moved, invertTransform(moved.transform!))), numbers(scene), 1e-4)
    }),
  )
  expect(() => invertTransform({ rotation: [1, 0, 0, 0], scale: 0, translation: [0, 0, 0] })).toThrow(/scale is 0/)
})

test.each([
  ['mean', 'radius'],
  ['box', 'rms'],
  ['box', 'radius'],
  ['none', 'none'],
] as const)('normalising by %s and %s brings points there, and is undone on points and poses', (centre, scale) => {
  const normal = normaliseScene(scene, { centre, scale })
  const { points } = normal
  const column = (axis: number) => [...points].filter((_, i) => i % 3 === axis)
  for (const axis of [0, 1, 2]) {
    if (centre === 'mean') expect(column(axis).reduce((a, b) => a + b)).toBeCloseTo(0, 5)
    if (centre === 'box') expect(Math.max(...column(axis)) + Math.min(...column(axis))).toBeCloseTo(0, 5)
  }
  const lengths = Array.from({ length: 4 }, (_, i) => Math.hypot(...points.subarray(3 * i, 3 * i + 3)))
  if (scale === 'radius') expect(Math.max(...lengths)).toBeCloseTo(1, 5)
  if (scale === 'rms') expect(points.reduce((sum, x) => sum + x * x, 0) / 12).toBeCloseTo(1, 5)
  if (scale === 'none') expect(points).toEqual(scene.points)
  expectClose(numbers(applyTransform(normal, invertTransform(normal.transform!))), numbers(scene))
})

test('a dataset has one normaliser; one point keeps its scale, and none has no normaliser', async () => {
  const scenes: Scene[] = [
    { points: Float32Array.of(0, 0, 0, 2, 0, 0) },
    { points: Float32Array.of(0, 4, 0), mask: [1] },
  ]
  const dataset = { length: 2, get: (i: number) => scenes[i] }
  const { scale, translation } = await datasetNormaliser(dataset, { centre: 'box' })
  expect(scale).toBeCloseTo(1 / Math.sqrt(5))
  expectClose(translation, [-1 / Math.sqrt(5), -2 / Math.sqrt(5), 0])
  expect(sceneNormaliser(scenes[1])).toMatchObject({ scale: 1, translation: [-0, -4, -0] })
  expect(() => normaliseScene({ name: 'void', points: new Float32Array(0) })).toThrow(/scene "void": points: is empty/)
})

const key = rngKey(7)
const ALL = { rotate: true, scale: [0.5, 2], jitter: 0.01, dropout: 0.3 } as const
const cloud: Scene = {
  points: Float32Array.from({ length: 600 }, (_, i) => Math.sin(i * i)),
  fields: { place: { data: Int32Array.from({ length: 200 }, (_, i) => i), width: 1 } },
}

test('augmentation is a function of the key, and undone but for jitter and dropout', () => {
  expect(augmentScene(scene, ALL, key)).toEqual(augmentScene(scene, ALL, key))
  expect(augmentScene(scene, ALL, rngKey(8))).not.toEqual(augmentScene(scene, ALL, key))
  const turned = augmentScene(scene, { rotate: true, scale: [0.5, 2] }, key)
  expect(turned.transform!.scale).not.toBe(1)
  expectClose(numbers(applyTransform(turned, invertTransform(turned.transform!))), numbers(scene))
  expect(augmentScene(scene, {}, key)).toBe(scene)
})

test.each(['x', 'y', 'z'] as const)(
  'turning about %s keeps that coordinate, the distances and the poses in their place',
  up => {
    const axis = 'xyz'.indexOf(up)
    const turned = augmentScene(scene, { rotate: [0.5, 1.5], up }, key)
    for (let i = axis; i < 12; i += 3) expect(turned.points[i]).toBeCloseTo(scene.points[i], 5)
    const { rotation, scale } = turned.transform!
    expect(scale).toBe(1)
    const angle = 2 * Math.atan2(rotation[axis + 1], rotation[0])
    expect(angle > 0.5 && angle < 1.5).toBe(true)
    const distance = (s: Scene) => Math.hypot(...[0, 1, 2].map(i => s.points[i] - s.sets!.grasps.data[i]))
    expect(distance(turned)).toBeCloseTo(distance(scene), 5)
  },
)

test('what happens to a point depends on its place, not on its number', () => {
  const order = Int32Array.from({ length: 200 }, (_, i) => (i * 77) % 200)
  const options = { jitter: 0.1, dropout: 0.5 }
  const byPlace = (s: Scene) =>
    new Map([...s.fields!.place.data].map((place, i) => [place, [...s.points.subarray(3 * i, 3 * i + 3)]]))
  expect(byPlace(augmentScene(selectPoints(cloud, order), options, key))).toEqual(
    byPlace(augmentScene(cloud, options, key)),
  )
})

test('dropout leaves out its share, jitter has its size, and one point always stays', () => {
  let [kept, squares] = [0, 0]
  for (let i = 0; i < 100; i++) {
    kept += augmentScene(cloud, { dropout: 0.3 }, key.foldIn(i)).points.length / 3
    const { points } = augmentScene(cloud, { jitter: 0.1 }, key.foldIn(i))
    for (let n = 0; n < 600; n++) squares += (points[n] - cloud.points[n]) ** 2
  }
  expect(Math.abs(kept / 20_000 - 0.7)).toBeLessThan(5 * Math.sqrt(0.21 / 20_000))
  expect(Math.abs(squares / 60_000 / 0.01 - 1)).toBeLessThan(5 * Math.sqrt(2 / 60_000))
  expect(augmentScene({ points: Float32Array.of(1, 2, 3) }, { dropout: 0.999 }, key).points).toHaveLength(3)
})

test('scales fall evenly between the two factors, by their logarithm', () => {
  let [sum, squares] = [0, 0]
  for (let i = 0; i < 400; i++) {
    const { scale } = augmentScene(scene, { scale: [0.5, 8] }, key.foldIn(i)).transform!
    const share = Math.log2(scale / 0.5) / 4
    expect(share >= 0 && share <= 1).toBe(true)
    sum += share / 400
    squares += share ** 2 / 400
  }
  expect(Math.abs(sum - 1 / 2)).toBeLessThan(5 * Math.sqrt(1 / 12 / 400))
  expect(Math.abs(squares - 1 / 3)).toBeLessThan(5 * Math.sqrt(4 / 45 / 400))
})

test.each([
  [{ scale: [0, 1] }, /scale is \[0,1\]/],
  [{ scale: [2, 1] }, /scale/],
  [{ rotate: [1, 0] }, /rotate is \[1,0\]/],
  [{ up: 'w' }, /up is "w"/],
  [{ jitter: -1 }, /jitter is -1/],
  [{ dropout: 1 }, /dropout is 1/],
])('the options %j are refused', (options, message) => {
  expect(() => augmentScene(scene, options as never, key)).toThrow(message)
})
