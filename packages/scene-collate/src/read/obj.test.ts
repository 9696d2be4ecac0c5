import { expect, test } from 'vitest'
import { parseObj, SceneError } from '../index'

test('vertices, groups and polygons are read, materials and lines passed over', () => {
  const mesh = parseObj(
    `# a box's side
mtllib box.mtl
o box
v 0 0 0
v 1 0 0 1.0
v 1 1 0
v 0 1 0
vt 0 0
g side
usemtl red
s off
f 1/1/1 2/1/1 3/1/1 4/1/1
vn 0 0 1
l 1 2
g other
f 1 2 \\
  3
`
      .replace('vn 0 0 1\n', '')
      .replace('v 0 0 0', 'vn 0 0 2\nv 0 0 0'),
    'box.obj',
  )
  expect([...mesh.vertices]).toEqual([0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0])
  expect([...mesh.faces]).toEqual([0, 1, 2, 0, 2, 3, 0, 1, 2])
  expect(mesh.groups).toEqual([
    { name: 'side', first: 0, count: 2 },
    { name: 'other', first: 2, count: 1 },
  ])
  expect(mesh.normals).toBeUndefined() // the second face names none
})

test('negative indices count from the last vertex so far', () => {
  const mesh = parseObj('v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 5 5 5\nf -4//-1 -2 -1\n'.replace('//-1', ''))
  expect([...mesh.faces]).toEqual([0, 1, 2, 0, 2, 3])
})

test('the normal of a vertex is the mean of those that its corners name', () => {
  const text = 'v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvn 0 0 2\nvn 0 2 0\nf 1//1 2//1 3//1\nf 1//2 4//2 2//2\n'
  const { normals } = parseObj(text)
  const half = Math.fround(Math.SQRT1_2)
  expect([...normals!]).toEqual([0, half, half, 0, half, half, 0, 0, 1, 0, 1, 0])
})

test('a file without faces is a cloud, with its normals where there is one each', () => {
  expect(parseObj('v 1 2 3\nvn 0 0 1\r\nv 4 5 6\nvn 0 1 0').normals).toEqual(Float32Array.of(0, 0, 1, 0, 1, 0))
  expect(parseObj('v 1 2 3\nv 4 5 6\nvn 0 1 0').normals).toBeUndefined()
})

test.each([
  ['v 1 2', /cup.obj: v: line 1 ends before it/],
  ['v 1 2 zero', /cup.obj: v: line 1 has "zero", expected a number/],
  ['v 1 2 3\nf 1 1', /cup.obj: f: line 2 has 2 corners, a face has at least 3/],
  ['v 1 2 3\nf 1 1 2', /cup.obj: f: line 2 names vertex 2, but there are 1 so far/],
  ['v 1 2 3\nf 1 1 0', /names vertex 0/],
  ['v 1 2 3\nf 1 1 -2', /names vertex -2/],
  ['v 1 2 3\nf 1//1 1//1 1//1', /names normal 1, but there are 0 so far/],
  ['hello', /cup.obj: v: the file has no vertices/],
])('%j is refused', (text, message) => {
  expect(() => parseObj(text, 'cup.obj')).toThrow(SceneError)
  expect(() => parseObj(text, 'cup.obj')).toThrow(message)
})
