import { expect, test } from 'vitest'
import { parsePly } from '../index'

const HEADER = `ply
format FORMAT 1.0
comment made by a test
element vertex 3
property double x
property float y
property int16 z
property float nx
property float ny
property float nz
property uchar red
property uchar green
property uchar blue
property int label
property uint32 time
element other 1
property list uchar float ignored
property short also
element face 2
property list uchar int vertex_indices
property uchar flag
end_header
`

const VERTICES = [
  [0.5, 1, 2, 0, 0, 1, 255, 0, 51, -7, 4e9],
  [1.5, 1, -2, 0, 1, 0, 0, 255, 0, 8, 1],
  [2.5, 1, 0, 1, 0, 0, 0, 0, 255, 9, 2],
]

function binary(littleEndian: boolean): Uint8Array {
  const header = new TextEncoder().encode(HEADER.replace('FORMAT', `binary_${littleEndian ? 'little' : 'big'}_endian`))
  const bytes = new Uint8Array(header.length + 512)
  bytes.set(header)
  const view = new DataView(bytes.buffer)
  let at = header.length
  const put = (kind: 'Float64' | 'Float32' | 'Int32' | 'Uint32' | 'Int16' | 'Uint8', value: number) => {
    view[`set${kind}`](at, value, littleEndian)
    at += Number(/\d+/.exec(kind)![0]) / 8
  }
  const kinds = [
    'Float64',
    'Float32',
    'Int16',
    'Float32',
    'Float32',
    'Float32',
    'Uint8',
    'Uint8',
    'Uint8',
    'Int32',
    'Uint32',
  ] as const
  for (const row of VERTICES) for (const [i, value] of row.entries()) put(kinds[i], value)
  put('Uint8', 2)
  put('Float32', 1)
  put('Float32', 1)
  put('Int16', 4)
  for (const face of [
    [0, 1, 2],
    [0, 2, 1, 0],
  ]) {
    put('Uint8', face.length)
    for (const vertex of face) put('Int32', vertex)
    put('Uint8', 1)
  }
  return bytes.subarray(0, at)
}

const ascii = () =>
  new TextEncoder().encode(
    `${HEADER.replace('FORMAT', 'ascii')}${VERTICES.map(row => row.join(' ')).join('\r\n')}\n2 1 1 4\n3 0 1 2 1\n4 0 2 1 0 1\n`,
  )

test.each([
  ['ascii', ascii()],
  ['little-endian', binary(true)],
  ['big-endian', binary(false)],
])('%s files give points, normals, colours, other properties and faces', (_, bytes) => {
  const { scene, mesh } = parsePly(bytes, 'mug.ply')
  expect(scene.name).toBe('mug.ply')
  expect([...scene.points]).toEqual([0.5, 1, 2, 1.5, 1, -2, 2.5, 1, 0])
  expect([...scene.fields!.normals.data]).toEqual([0, 0, 1, 0, 1, 0, 1, 0, 0])
  expect([...scene.fields!.colors.data]).toEqual([1, 0, Math.fround(0.2), 0, 1, 0, 0, 0, 1])
  expect(scene.fields!.label).toEqual({ data: Int32Array.of(-7, 8, 9), width: 1 })
  expect(scene.fields!.time).toEqual({ data: Float32Array.of(4e9, 1, 2), width: 1 })
  expect([...mesh!.faces]).toEqual([0, 1, 2, 0, 2, 1, 0, 1, 0])
})

test('a file cut anywhere is refused by name, never read in part', () => {
  for (const whole of [ascii(), binary(true)]) {
    const tail = whole === ascii() ? 2 : 0
    for (let length = 0; length < whole.length - tail - 2; length += 7)
      expect(() => parsePly(whole.subarray(0, length), 'mug.ply')).toThrow(/^mug\.ply: /)
  }
})

test('the element, row and property at which a file ends are named', () => {
  const text = (body: string, vertices = 2) =>
    new TextEncoder().encode(
      `ply\nformat ascii 1.0\nelement vertex ${vertices}\nproperty float x\nproperty float y\nproperty float z\nend_header\n${body}`,
    )
  expect(() => parsePly(text('1 2 3\n4 5'), 'a.ply')).toThrow(
    'a.ply: vertex: the file ends before the 2 that its header announces',
  )
  expect(() => parsePly(text('1 2 3.000000\n4 5'), 'a.ply')).toThrow('a.ply: vertex 1.z: the file ends here (line 9)')
  expect(() => parsePly(text('1 2 3\n4 five 6'), 'a.ply')).toThrow(
    'a.ply: vertex 1.y: line 9 has "five", expected a number',
  )
  expect(() => parsePly(text('1 2 3', 1e15), 'a.ply')).toThrow(/vertex: the file ends before the 1000000000000000/)
  expect(Number.isNaN(parsePly(text('1 2 nan\n4 -inf 6'), 'a.ply').scene.points[2])).toBe(true)
})

test.each([
  ['plx\n', /header: line 1 is not 'ply'/],
  ['ply\nformat ascii 1.0\n', /header: the file ends in line 3, before end_header/],
  ['ply\nformat zip 1.0\nend_header\n', /header: line 2 has the format 'zip'/],
  ['ply\nformat ascii 1.0\nelement vertex -1\nend_header\n', /line 3 announces -1 of vertex/],
  ['ply\nformat ascii 1.0\nelement vertex 1\nproperty half x\nend_header\n', /line 4 is no property that can be read/],
  ['ply\nformat ascii 1.0\nfoo\nend_header\n', /line 3 has 'foo', which PLY does not know/],
  ['ply\nelement vertex 0\nend_header\n', /header: names no format/],
  ['ply\nformat ascii 1.0\nelement face 0\nend_header\n', /vertex: the file has no such element/],
  [
    'ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float w\nend_header\n1 1',
    /points: the file has no x, y and z of its points \(it has x, w\)/,
  ],
])('the header %j is refused', (text, message) => {
  expect(() => parsePly(new TextEncoder().encode(text), 'a.ply')).toThrow(message)
})

test('a face of a vertex that is not there is refused', () => {
  const text = `ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z
element face 1\nproperty list uchar int vertex_index\nend_header\n0 0 0\n3 0 0 1\n`
  expect(() => parsePly(new TextEncoder().encode(text), 'a.ply')).toThrow(
    /face: triangle 0 names vertex 1, expected 0 to 0/,
  )
})
