import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type BatchArray,
  collateScenes,
  dropInvalidPoints,
  type PackedRows,
  type PaddedRows,
  paddingWaste,
  type Scene,
  SceneError,
} from './index'

const ramp = (count: number, from = 0) => Float32Array.from({ length: count }, (_, i) => from + i)

function scene(points: number, grasps: number, extra: Partial<Scene> = {}): Scene {
  return {
    name: `s${points}`,
    points: ramp(3 * points),
    fields: {
      normals: { data: ramp(3 * points, 100), width: 3 },
      inside: { data: new Uint8Array(points).fill(1), width: 1 },
      label: { data: new Int32Array(points).fill(7), width: 1 },
    },
    sets: { grasps: { data: ramp(4 * grasps, 200), width: 4 } },
    vectors: { size: { data: Float32Array.of(1, 2), width: 2 } },
    texts: { prompt: `scene of ${points}` },
    ...extra,
  }
}

test('scenes are padded to the longest, fields and sets each with their own lengths', () => {
  const batch = collateScenes([scene(2, 3), scene(4, 0), scene(1, 1)])
  expect(batch.layout).toBe('padded')
  expect(batch.points.shape).toEqual([3, 4, 3])
  expect([...batch.points.lengths]).toEqual([2, 4, 1])
  expect([...batch.points.mask]).toEqual([1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0])
  expect([...batch.points.data.subarray(0, 12)]).toEqual([0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0])
  expect(batch.fields.normals.shape).toEqual([3, 4, 3])
  expect([...batch.fields.normals.data.subarray(24, 27)]).toEqual([100, 101, 102])
  expect(batch.fields.label.data).toBeInstanceOf(Int32Array)
  expect([...batch.fields.inside.data]).toEqual([...batch.points.mask])
  expect(batch.sets.grasps.shape).toEqual([3, 3, 4])
  expect([...batch.sets.grasps.lengths]).toEqual([3, 0, 1])
  expect([...batch.sets.grasps.mask]).toEqual([1, 1, 1, 0, 0, 0, 1, 0, 0])
  expect(batch.vectors.size).toEqual({ data: Float32Array.of(1, 2, 1, 2, 1, 2), shape: [3, 2] })
  expect(batch.texts.prompt).toEqual(['scene of 2', 'scene of 4', 'scene of 1'])
  expect(batch.names).toEqual(['s2', 's4', 's1'])
  expect(paddingWaste(batch)).toBeCloseTo(5 / 12)
})

test('a packed batch has no padding, and offsets for points and sets', () => {
  const batch = collateScenes([scene(2, 3), scene(4, 0), scene(1, 1)], { layout: 'packed' })
  expect(batch.points.shape).toEqual([1, 7, 3])
  expect([...batch.points.offsets]).toEqual([0, 2, 6, 7])
  expect([...batch.points.lengths]).toEqual([2, 4, 1])
  expect([...batch.points.data.subarray(18)]).toEqual([0, 1, 2])
  expect(batch.fields.normals.shape).toEqual([1, 7, 3])
  expect(batch.sets.grasps.shape).toEqual([1, 4, 4])
  expect([...batch.sets.grasps.offsets]).toEqual([0, 3, 3, 4])
  expect(paddingWaste(batch)).toBe(0)
})

test('padding has the value asked for, per name, and the length asked for', () => {
  const options = { padding: { points: Number.NaN, label: -100, grasps: 9 }, padTo: { grasps: 5 }, multipleOf: 4 }
  const batch = collateScenes([scene(5, 2), scene(3, 1)], options)
  expect(batch.points.shape).toEqual([2, 8, 3])
  expect([...batch.points.data.subarray(15, 24)]).toEqual(Array(9).fill(Number.NaN))
  expect([...batch.fields.label.data.subarray(8)]).toEqual([7, 7, 7, -100, -100, -100, -100, -100])
  expect([...batch.fields.normals.data.subarray(15, 24)]).toEqual(Array(9).fill(0))
  expect(batch.sets.grasps.shape).toEqual([2, 5, 4])
  expect([...batch.sets.grasps.data.subarray(8, 20)]).toEqual(Array(12).fill(9))
  expect(collateScenes([scene(5, 2)], { padTo: 6 }).points.shape).toEqual([1, 6, 3])
})

test('points and rows that a mask excludes are nowhere in the batch, whatever they hold', () => {
  const masked = (junk: number): Scene => ({
    points: Float32Array.of(1, 2, 3, junk, junk, junk, 4, 5, 6, junk, 0, 0),
    mask: [1, 0, 1, 0],
    fields: { normals: { data: Float32Array.of(1, 0, 0, junk, 0, 0, 0, 1, 0, 0, junk, 0), width: 3 } },
    sets: { grasps: { data: Float32Array.of(junk, 5), width: 1, mask: Uint8Array.of(0, 1) } },
  })
  for (const layout of ['padded', 'packed'] as const) {
    const batch = collateScenes([masked(Number.NaN)], { layout })
    expect(batch).toEqual(collateScenes([masked(1e30)], { layout }))
    expect([...batch.points.data]).toEqual([1, 2, 3, 4, 5, 6])
    expect([...batch.fields.normals.data]).toEqual([1, 0, 0, 0, 1, 0])
    expect([...batch.sets.grasps.data]).toEqual([5])
  }
})

test('padded and packed batches hold the same rows, and both those of the scenes', () => {
  const sizes = fc.array(fc.record({ points: fc.integer({ min: 1, max: 9 }), grasps: fc.nat(3) }), {
    minLength: 1,
    maxLength: 6,
  })
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 5 }), (all, multipleOf) => {
      const scenes = all.map(({ points, grasps }) => scene(points, grasps))
      const padded = collateScenes(scenes, { multipleOf, padding: { points: Number.NaN } })
      const packed = collateScenes(scenes, { layout: 'packed' })
      const stride = padded.points.shape[1] * 3
      for (const [b, { points }] of scenes.entries()) {
        const own = padded.points.data.subarray(b * stride, b * stride + points.length)
        expect(own).toEqual(points)
        expect(packed.points.data.subarray(3 * packed.points.offsets[b], 3 * packed.points.offsets[b + 1])).toEqual(
          points,
        )
        const padding = padded.points.data.subarray(b * stride + points.length, (b + 1) * stride)
        expect(padding.every(Number.isNaN)).toBe(true)
      }
      expect(padded.points.mask.reduce((sum, m) => sum + m, 0)).toBe(packed.points.shape[1])
    }),
  )
})

test('everything of every scene is in the batch, under its name and in its place', () => {
  let next = 0
  const numbers = (count: number) => Float32Array.from({ length: count }, () => next++)
  const sizes = fc.array(fc.tuple(fc.integer({ min: 1, max: 7 }), fc.nat(3)), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(sizes, fc.constantFrom('padded' as const, 'packed' as const), (all, layout) => {
      const scenes = all.map(
        ([points, grasps], b): Scene => ({
          name: `s${b}`,
          points: numbers(3 * points),
          fields: { normals: { data: numbers(3 * points), width: 3 }, colors: { data: numbers(3 * points), width: 3 } },
          sets: { grasps: { data: numbers(2 * grasps), width: 2 }, places: { data: numbers(2 * grasps), width: 2 } },
          vectors: { low: { data: numbers(3), width: 3 }, high: { data: numbers(3), width: 3 } },
          texts: { what: `w${b}`, which: `x${b}` },
          transform: { rotation: [1, 0, 0, 0], scale: 1 + b, translation: [b, 0, 0] },
        }),
      )
      const batch = collateScenes(scenes, { layout })
      for (const [b, scene] of scenes.entries()) {
        const rowsIn = ({ data, shape }: BatchArray, rows: PaddedRows | PackedRows) => {
          const first = 'offsets' in rows ? rows.offsets[b] : b * rows.shape[1]
          return data.subarray(first * shape[2], (first + rows.lengths[b]) * shape[2])
        }
        expect(rowsIn(batch.points, batch.points)).toEqual(scene.points)
        for (const name of ['normals', 'colors'])
          expect(rowsIn(batch.fields[name], batch.points)).toEqual(scene.fields![name].data)
        for (const name of ['grasps', 'places'])
          expect(rowsIn(batch.sets[name], batch.sets[name])).toEqual(scene.sets![name].data)
        for (const name of ['low', 'high'])
          expect(batch.vectors[name].data.subarray(3 * b, 3 * b + 3)).toEqual(scene.vectors![name].data)
        for (const name of ['what', 'which']) expect(batch.texts[name][b]).toBe(scene.texts![name])
        expect(batch.names[b]).toBe(scene.name)
        expect(batch.transforms[b]).toEqual(scene.transform)
      }
    }),
  )
})

test('the batch is a copy: changing it leaves the scenes as they were', () => {
  const own = scene(2, 1)
  const batch = collateScenes([own], { layout: 'packed' })
  batch.points.data.fill(-1)
  expect(own.points[1]).toBe(1)
})

const bad: [string, Partial<Scene>, RegExp][] = [
  ['empty', { points: new Float32Array(0) }, /scene "s2": points: is empty/],
  ['not in threes', { points: new Float32Array(7) }, /points: has 7 numbers, expected 3 per point/],
  [
    'NaN',
    { points: Float32Array.of(0, 0, 0, 1, Number.NaN, 0) },
    /points: point 1 has NaN in column 1; mask it out, or drop it/,
  ],
  [
    'infinite',
    { points: Float32Array.of(0, -Infinity, 0, Infinity, 1, 1) },
    /points: point 0 has -Infinity in column 1 \(and 1 more\)/,
  ],
  ['a short mask', { mask: [1] }, /mask: has 1 entries, but there are 2 points/],
  ['a mask of 2', { mask: [1, 2] }, /mask: entry 1 is 2, expected 0 or 1/],
  ['masked throughout', { mask: [0, 0] }, /mask: is 0 everywhere/],
  [
    'short normals',
    { fields: { normals: { data: ramp(5), width: 3 } } },
    /normals: has 5 numbers, expected 6 \(2 points × 3\)/,
  ],
  [
    'flags of 255',
    { fields: { inside: { data: Uint8Array.of(1, 255), width: 1 } } },
    /inside: entry 1 is 255; a Uint8Array holds flags/,
  ],
  ['width 0', { fields: { f: { data: ramp(2), width: 0 } } }, /f: width is 0/],
  ['NaN grasps', { sets: { grasps: { data: Float32Array.of(Number.NaN), width: 1 } } }, /grasps: row 0 has NaN/],
  [
    'a torn set',
    { sets: { grasps: { data: ramp(5), width: 4 } } },
    /grasps: has 5 numbers, which is not a multiple of its width 4/,
  ],
  [
    'a set with a short mask',
    { sets: { g: { data: ramp(4), width: 2, mask: [1] } } },
    /g: mask has 1 entries, but there are 2 rows/,
  ],
  ['a long vector', { vectors: { size: { data: ramp(3), width: 2 } } }, /size: has 3 numbers, expected 2/],
  [
    'parts too wide',
    { sets: { g: { data: ramp(8), width: 4, parts: ['position', 'position'] } } },
    /g: parts \[position, position\] make 6 columns, but the width is 4/,
  ],
  [
    'an unknown part',
    { sets: { g: { data: ramp(4), width: 4, parts: ['euler' as never, 1] } } },
    /g: parts has "euler"/,
  ],
  [
    'two of a name',
    { sets: { normals: { data: ramp(4), width: 4 } } },
    /normals: two things of the scene have this name/,
  ],
  ['a text that is none', { texts: { prompt: 7 as never } }, /prompt: expected a string/],
]

test.each(bad)('a scene that is bad (%s) is refused, scene and field named', (_, change, message) => {
  const refuse = () => collateScenes([{ ...scene(2, 1), ...change }])
  expect(refuse).toThrow(SceneError)
  expect(refuse).toThrow(message)
})

test('scenes of one batch must be alike', () => {
  const without = { ...scene(3, 1), fields: {} }
  expect(() => collateScenes([scene(2, 1), without])).toThrow(
    /scene "s3": normals: is missing from its fields, but scene "s2" has it/,
  )
  expect(() => collateScenes([without, scene(2, 1)])).toThrow(
    /scene "s2": normals: is in its fields, but scene "s3" has no such/,
  )
  const wide = scene(3, 1, { vectors: { size: { data: ramp(3), width: 3 } } })
  expect(() => collateScenes([scene(2, 1), wide])).toThrow(/scene "s3": size: has width 3, but 2 in scene "s2"/)
  const whole = scene(3, 1, { vectors: { size: { data: Int32Array.of(1, 2), width: 2 } } })
  expect(() => collateScenes([scene(2, 1), whole])).toThrow(/size: is a Int32Array, but a Float32Array in scene "s2"/)
})

test('an empty scene goes into a batch only when allowed, and never alone', () => {
  const empty: Scene = { name: 'void', points: new Float32Array(0) }
  const one: Scene = { points: ramp(3) }
  const batch = collateScenes([empty, one], { allowEmpty: true })
  expect([...batch.points.mask]).toEqual([0, 1])
  expect(() => collateScenes([empty, { ...one, mask: [0] }], { allowEmpty: true })).toThrow(
    /the batch has no valid point anywhere \(scene "void", scene 1\)/,
  )
  expect(() => collateScenes([])).toThrow(/there is none/)
})

test('options that fit no scene are refused', () => {
  expect(() => collateScenes([scene(5, 1)], { padTo: 4 })).toThrow(/scene "s5": points: has 5 rows, more than padTo 4/)
  expect(() => collateScenes([scene(5, 1)], { padding: { normal: 0 } })).toThrow(
    /padding names 'normal', which is none of points, grasps, normals/,
  )
  expect(() => collateScenes([scene(5, 1)], { multipleOf: 0 })).toThrow(/multipleOf of points is 0/)
  expect(() => collateScenes([scene(5, 1)], { padTo: { normals: 8 } })).toThrow(/padTo names 'normals'/)
})

test('points that hold NaN can be dropped, their fields with them', () => {
  const points = Float32Array.of(0, 0, 0, Number.NaN, 0, 0, 1, 1, 1)
  const dropped = dropInvalidPoints({
    points,
    mask: [0, 1, 1],
    fields: { f: { data: Int32Array.of(1, 2, 3), width: 1 } },
  })
  expect([...dropped.points]).toEqual([1, 1, 1])
  expect([...dropped.fields!.f.data]).toEqual([3])
  expect(dropped.mask).toBeUndefined()
})
