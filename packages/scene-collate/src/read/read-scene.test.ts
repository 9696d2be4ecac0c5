import { expect, test } from 'vitest'
import { formatOf, parseXyz, readMesh, readScene } from '../index'

test('a file is known by its first bytes, then by its name, then by what its first line looks like', () => {
  expect(formatOf('ply\nformat ascii 1.0\n', 'model.obj')).toBe('ply')
  expect(formatOf('# .PCD v0.7\nVERSION 0.7\n', 'cloud')).toBe('pcd')
  expect(formatOf('anything', 'a/b.OBJ')).toBe('obj')
  expect(formatOf('# comment\n\nmtllib x.mtl\nv 0 0 0', 'model')).toBe('obj')
  expect(formatOf('// comment\n0.5, -1e-3; 7\n', 'cloud.txt')).toBe('xyz')
  expect(() => formatOf('hello', 'a.ply')).toThrow('a.ply: header: the file does not begin like a PLY')
  for (const content of ['', 'hello', '\n'.repeat(5000), '1 2', new Uint8Array(100)])
    expect(() => formatOf(content, 'a.bin')).toThrow('a.bin: is of no known format; OBJ, PLY, PCD and XYZ can be read')
})

test('a table of numbers: three are a point, further ones are extra unless they are named', () => {
  expect(parseXyz('# x y z\n1 2 3\n4,5;6\n')).toEqual({ name: 'XYZ', points: Float32Array.of(1, 2, 3, 4, 5, 6) })
  const rows = '1 2 3 0 0 1 7\n4 5 6 0 1 0 8'
  expect(parseXyz(rows).fields!.extra).toEqual({ data: Float32Array.of(0, 0, 1, 7, 0, 1, 0, 8), width: 4 })
  const named = parseXyz(rows, 'a.xyz', { columns: { normals: 3, weight: 1 } })
  expect([...named.points]).toEqual([1, 2, 3, 4, 5, 6])
  expect([...named.fields!.normals.data]).toEqual([0, 0, 1, 0, 1, 0])
  expect([...named.fields!.weight.data]).toEqual([7, 8])
  expect(() => parseXyz(rows, 'a.xyz', { columns: { normals: 3 } })).toThrow(
    'the file has 7 columns, but x, y, z and those named are 6',
  )
})

test.each([
  ['1 2', /a.xyz: z: line 1 ends before it/],
  ['1 2 3\n1 2 3 4', /a.xyz: column 4: line 2 has 4 numbers, the first had 3/],
  ['1 2 3\n\n1 two 3', /a.xyz: y: line 3 has "two", expected a number/],
  ['# nothing', /a.xyz: points: the file has no points/],
])('the table %j is refused', (text, message) => {
  expect(() => parseXyz(text, 'a.xyz')).toThrow(message)
})

const TRIANGLE = 'v 0 0 0\nv 2 0 0\nv 0 2 0\nf 1 2 3\n'

test('a file with faces gives points of its surface, one without its own', () => {
  const scene = readScene(TRIANGLE, 'a.obj', { surfacePoints: 10, seed: 3 })
  expect(scene.name).toBe('a.obj')
  expect(scene.points).toHaveLength(30)
  expect([...scene.fields!.normals.data.subarray(0, 3)]).toEqual([0, 0, 1])
  expect(readScene(TRIANGLE, 'a.obj', { surfacePoints: 10, seed: 4 }).points).not.toEqual(scene.points)
  const ply = `ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z
element face 1\nproperty list uchar int vertex_index\nend_header\n0 0 0\n2 0 0\n0 2 0\n3 0 1 2\n`
  expect(readScene(ply, 'a.obj', { surfacePoints: 10, seed: 3 }).points).toEqual(scene.points)
  expect([...readScene('v 1 2 3\nvn 0 0 1', 'a.obj').fields!.normals.data]).toEqual([0, 0, 1])
})

test('a mesh is read as such, and a cloud is no mesh', () => {
  expect([...readMesh(TRIANGLE, 'a.obj').faces]).toEqual([0, 1, 2])
  expect(() => readMesh('v 0 0 0', 'a.obj')).toThrow('a.obj: faces: the OBJ file has none; a mesh is needed')
  expect(() => readMesh('1 2 3', 'a.xyz')).toThrow('a.xyz: faces: the XYZ file has none')
})
