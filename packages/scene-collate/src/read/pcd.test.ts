import { existsSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { dropInvalidPoints, type FieldData, parsePcd, readScene, type Scene } from '../index'
import { decompressLzf } from './lzf'

/** An encoder of our own for the tests: greedy, three bytes hashed through a Map. */
function compressLzf(input: Uint8Array): Uint8Array {
  const out: number[] = []
  const seen = new Map<number, number>()
  let literals: number[] = []
  const flush = () => {
    for (let i = 0; i < literals.length; i += 32) {
      const run = literals.slice(i, i + 32)
      out.push(run.length - 1, ...run)
    }
    literals = []
  }
  for (let at = 0; at < input.length; ) {
    const hash = at + 2 < input.length ? input[at] | (input[at + 1] << 8) | (input[at + 2] << 16) : -1
    const from = seen.get(hash)
    if (hash >= 0) seen.set(hash, at)
    if (from === undefined || at - from > 8192 || hash < 0) {
      literals.push(input[at++])
      continue
    }
    let length = 3
    while (length < 264 && at + length < input.length && input[from + length] === input[at + length]) length++
    flush()
    const [distance, count] = [at - from - 1, length - 2]
    if (count < 7) out.push((count << 5) | (distance >> 8))
    else out.push((7 << 5) | (distance >> 8), count - 7)
    out.push(distance & 255)
    at += length
  }
  flush()
  return Uint8Array.from(out)
}

const header = (data: string, points = 3) => `# .PCD v0.7 - Point Cloud Data file format
VERSION 0.7
FIELDS x y z rgb normal_x normal_y normal_z label fpfh _
SIZE 4 4 8 4 4 4 4 2 4 1
TYPE F F F F F F F U F U
COUNT 1 1 1 1 1 1 1 1 2 3
WIDTH ${points}
HEIGHT 1
VIEWPOINT 0 0 0 1 0 0 0
POINTS ${points}
DATA ${data}
`
const SIZES = [4, 4, 8, 4, 4, 4, 4, 2, 4, 1]
const COUNTS = [1, 1, 1, 1, 1, 1, 1, 1, 2, 3]
const COLORS = [0xff3366ff, 0x00ff0000, 0x0000ff00] // the first is NaN as a float

/** Writes point `p`, field `f`, number `i` of it. */
function put(view: DataView, at: number, p: number, f: number, i: number): void {
  if (SIZES[f] === 8) view.setFloat64(at, p + f, true)
  else if (f === 3) view.setUint32(at, COLORS[p], true)
  else if (SIZES[f] === 2) view.setUint16(at, 65000 + p, true)
  else if (SIZES[f] === 4) view.setFloat32(at, p + f + i / 2, true)
}

function body(fieldMajor: boolean): Uint8Array {
  const bytes = new Uint8Array(3 * SIZES.reduce((sum, size, f) => sum + size * COUNTS[f], 0))
  const view = new DataView(bytes.buffer)
  let at = 0
  const row = (p: number, f: number) => {
    for (let i = 0; i < COUNTS[f]; i++, at += SIZES[f]) put(view, at, p, f, i)
  }
  if (fieldMajor) for (let f = 0; f < 10; f++) for (let p = 0; p < 3; p++) row(p, f)
  else for (let p = 0; p < 3; p++) for (let f = 0; f < 10; f++) row(p, f)
  return bytes
}

function join(...parts: (string | Uint8Array)[]): Uint8Array {
  const bytes = parts.map(part => (typeof part === 'string' ? new TextEncoder().encode(part) : part))
  const out = new Uint8Array(bytes.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of bytes) {
    out.set(part, at)
    at += part.length
  }
  return out
}

function compressed(): Uint8Array {
  const plain = body(true)
  const packed = compressLzf(plain)
  return join(header('binary_compressed'), new Uint8Array(Uint32Array.of(packed.length, plain.length).buffer), packed)
}

function expectCloud(scene: Scene, colorOfFirst: number[]): void {
  expect([...scene.points]).toEqual([0, 1, 2, 1, 2, 3, 2, 3, 4])
  expect([...scene.fields!.normals.data]).toEqual([4, 5, 6, 5, 6, 7, 6, 7, 8])
  expect([...scene.fields!.colors.data]).toEqual([...colorOfFirst, 1, 0, 0, 0, 1, 0].map(Math.fround))
  expect(scene.fields!.label).toEqual({ data: Int32Array.of(65000, 65001, 65002), width: 1 })
  expect(scene.fields!.fpfh).toEqual({ data: Float32Array.of(8, 8.5, 9, 9.5, 10, 10.5), width: 2 })
  expect(Object.keys(scene.fields!)).toEqual(['normals', 'colors', 'label', 'fpfh'])
}

test('binary and compressed files give points, normals, colours and other fields', () => {
  expectCloud(parsePcd(join(header('binary'), body(false))), [0.2, 0.4, 1])
  expectCloud(parsePcd(compressed()), [0.2, 0.4, 1])
})

test('ascii files do too, with colours packed into a float', () => {
  const asFloat = (word: number) => new Float32Array(Uint32Array.of(word).buffer)[0]
  const line = (p: number, rgb: number) =>
    `${[p, p + 1, p + 2, asFloat(rgb), p + 4, p + 5, p + 6, 65000 + p, p + 8, p + 8.5, 0, 0, 0].join(' ')}\n`
  const text = header('ascii') + line(0, 0x003366ff) + line(1, COLORS[1]) + line(2, COLORS[2])
  expectCloud(parsePcd(new TextEncoder().encode(text)), [0.2, 0.4, 1])
  expect(() => parsePcd(new TextEncoder().encode(text.replace(' 65001 ', ' many ')), 'a.pcd')).toThrow(
    'a.pcd: label: line 13 has "many", expected a number',
  )
})

test('NaN points stay unless they are to be dropped', () => {
  const text =
    'VERSION .7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nWIDTH 2\nHEIGHT 1\nDATA ascii\nnan nan nan 5\n1 2 3 6\n'
  const kept = readScene(text, 'depth.pcd')
  expect([...kept.points]).toEqual([Number.NaN, Number.NaN, Number.NaN, 1, 2, 3])
  const dropped = readScene(text, 'depth.pcd', { dropInvalid: true })
  expect([...dropped.points]).toEqual([1, 2, 3])
  expect([...dropped.fields!.intensity.data]).toEqual([6])
})

test('a file cut anywhere is refused by name', () => {
  for (const whole of [join(header('binary'), body(false)), compressed()])
    for (let length = 0; length < whole.length; length += 5)
      expect(() => parsePcd(whole.subarray(0, length), 'table.pcd')).toThrow(/^table\.pcd: /)
})

test.each([
  [header('binary').replace('FIELDS', 'FIELD'), /table.pcd: FIELDS: is missing from the header/],
  [header('binary').replace('SIZE 4', 'SIZE'), /SIZE: has 9 entries, but FIELDS has 10/],
  [header('binary').replace('SIZE 4', 'SIZE 3'), /x: has type F of 3 bytes/],
  [header('binary').replace('POINTS 3', 'POINTS x'), /POINTS: is x, expected a whole number/],
  [header('gzip'), /DATA: is 'gzip'/],
  [header('binary', 4), /_: the file ends within point 0 of 4/],
  [header('ascii', 1e12), /_: the file ends within point 0 of 1000000000000/],
  [`${header('binary_compressed')}12`, /DATA: the file ends before the sizes/],
  [
    `${header('binary_compressed')}1234567890`,
    /DATA: unpacks to \d+ bytes, but the header announces 3 points of 45 bytes/,
  ],
])('a malformed file is refused: %#', (text, message) => {
  expect(() => parsePcd(new TextEncoder().encode(text), 'table.pcd')).toThrow(message)
})

test('damaged compressed data are refused', () => {
  const file = compressed()
  const start = file.length - 40
  file.fill(255, start, start + 10)
  expect(() => parsePcd(file, 'table.pcd')).toThrow('table.pcd: DATA: the compressed data are damaged')
})

test('LZF unpacks what was packed, and nothing from arbitrary bytes but what fits', () => {
  const runs = fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1, max: 700 })), { maxLength: 20 })
  fc.assert(
    fc.property(runs, all => {
      const plain = Uint8Array.from(all.flatMap(([value, count]) => Array(count).fill(value) as number[]))
      expect(decompressLzf(compressLzf(plain), plain.length)).toEqual(plain)
      expect(decompressLzf(compressLzf(plain), plain.length + 1)).toBeUndefined()
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(500), (bytes, size) => {
      expect([undefined, size]).toContain(decompressLzf(bytes, size)?.length)
    }),
  )
})

// Files of Debian's python3-pcl: ascii, and binary_compressed as PCL wrote it.
const SCANS = '/usr/share/doc/python3-pcl/examples'
for (const [path, points, fields] of [
  ['pcldata/tutorials/lamppost.pcd', 1771, []],
  ['pcldata/tutorials/table_scene_lms400.pcd', 460400, ['intensity', 'distance', 'sid']],
  ['pcldata/tutorials/table_scene_mug_stereo_textured.pcd', 307200, ['colors']],
  ['pcldata/tutorials/correspondence_grouping/milk.pcd', 12575, ['colors']],
  ['official/Surface/bun0.pcd', 112586, []],
  ['official/IO/test_pcd.pcd', 1771, []],
] as const)
  test(`the real scan ${path} loads`, ctx => {
    const file = `${SCANS}/${path}`
    if (!existsSync(file)) ctx.skip("needs the scans of Debian's python3-pcl")
    const scene = readScene(readFileSync(file), file)
    expect(scene.points.length).toBe(3 * points)
    expect(Object.keys(scene.fields ?? {})).toEqual(fields)
    const valid = dropInvalidPoints(scene)
    expect(valid.points.length).toBeGreaterThan(3 * 1000)
    const within = (data: FieldData, low: number, high: number) => data.every(value => value >= low && value <= high)
    expect(within(valid.points, -1e5, 1e5)).toBe(true)
    if (valid.fields?.colors) expect(within(valid.fields.colors.data, 0, 1)).toBe(true)
  })
