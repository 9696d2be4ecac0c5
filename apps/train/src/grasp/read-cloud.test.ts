import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { UP_AXES } from '../up-axes'
import { readCloud } from './read-cloud'

const root = mkdtempSync(join(tmpdir(), 'ditkit-cloud-'))
afterAll(() => rmSync(root, { recursive: true }))

function write(name: string, lines: readonly string[]): string {
  const path = join(root, name)
  writeFileSync(path, `${lines.join('\n')}\n`)
  return path
}

/** A box of 8 × 4 × 2 cm with one corner at (1, 2, 3), its faces on a grid of half centimetres. */
function boxLines(): string[] {
  const lines: string[] = []
  for (let x = 0; x <= 16; x++)
    for (let y = 0; y <= 8; y++)
      for (let z = 0; z <= 4; z++)
        if (x % 16 === 0 || y % 8 === 0 || z % 4 === 0) lines.push(`${1 + 0.005 * x} ${2 + 0.005 * y} ${3 + 0.005 * z}`)
  return lines
}

describe('readCloud', () => {
  it('stands the cloud on z = 0, whichever axis is up, with normals that point outward', async () => {
    const path = write('box.xyz', boxLines())
    const side = { x: 0.08, y: 0.04, z: 0.02 }
    for (const up of UP_AXES) {
      const { scene, guessedNormals, extent, invalid } = await readCloud(path, { up, table: false, most: 200 })
      const heights = scene.points.filter((_, i) => i % 3 === 2)
      expect(Math.min(...heights)).toBe(0)
      expect(Math.max(...heights)).toBeCloseTo(side[up.at(-1) as keyof typeof side], 5)
      expect({ guessedNormals, invalid, points: scene.points.length }).toEqual({
        guessedNormals: true,
        invalid: 0,
        points: 600,
      })
      expect(extent).toBeCloseTo(0.08, 5)
      const normals = scene.fields!.normals.data
      const top = heights.findIndex((height, i) => height > 0.99 * Math.max(...heights) && normals[i * 3 + 2] > 0.99)
      expect(top).toBeGreaterThanOrEqual(0)
    }
  })

  it('keeps normals of the file, turned with the points', async () => {
    const lines = ['ply', 'format ascii 1.0', 'element vertex 2']
    for (const name of ['x', 'y', 'z', 'nx', 'ny', 'nz']) lines.push(`property float ${name}`)
    const path = write('two.ply', [...lines, 'end_header', '0 0 0 0 1 0', '0 1 0 0 0 1'])
    const { scene, guessedNormals } = await readCloud(path, { up: 'y', table: false, most: 5 })
    expect(guessedNormals).toBe(false)
    const expected = [0, 0, 1, 0, -1, 0]
    for (const [i, value] of scene.fields!.normals.data.entries()) expect(value).toBeCloseTo(expected[i], 6)
  })

  it('says of a scan without a table, or with nothing on it, what to look at', async () => {
    const flat = Array.from({ length: 400 }, (_, i) => `${(i % 20) / 20} ${Math.floor(i / 20) / 20} 0`)
    const wall = flat.map(line => line.split(' ').toReversed().join(' '))
    const read = (path: string) => readCloud(path, { up: 'z', table: true, most: 9 })
    await expect(read(write('flat.xyz', flat))).rejects.toThrow(/--table: .*flat\.xyz has nothing that stands on/)
    await expect(read(write('wall.xyz', wall))).rejects.toThrow(/--table: .*wall\.xyz has no level plane/)
  })

  it('turns guessed normals of a scan to where it was taken from, the origin of the file', async () => {
    const table = Array.from({ length: 900 }, (_, i) => `${0.5 - (i % 30) / 30} ${0.5 - Math.floor(i / 30) / 30} -1`)
    const path = write('scan.xyz', [
      ...table,
      ...boxLines().map(line =>
        line
          .split(' ')
          .map((v, axis) => Number(v) - [1, 2, 3.98][axis])
          .join(' '),
      ),
    ])
    const { scene } = await readCloud(path, { up: 'z', table: true, most: 400 })
    const normals = scene.fields!.normals.data
    const down = Array.from({ length: normals.length / 3 }, (_, i) => normals[3 * i + 2]).filter(z => z < -0.5)
    expect(down).toEqual([])
  })

  it('counts points that are no numbers and leaves them out', async () => {
    const { scene, invalid } = await readCloud(write('some.xyz', [...boxLines(), 'nan 0 0', '0 inf 0']), {
      up: 'z',
      table: false,
      most: 1000,
    })
    expect(invalid).toBe(2)
    expect(scene.points).toHaveLength(3 * boxLines().length)
  })

  it('names a file without points, without a valid one, and one that is not there', async () => {
    const pcd = ['FIELDS x y z', 'SIZE 4 4 4', 'TYPE F F F', 'WIDTH 0', 'HEIGHT 1', 'POINTS 0', 'DATA ascii']
    await expect(readCloud(write('none.pcd', pcd), { up: 'z', table: false, most: 9 })).rejects.toThrow(
      /--scene .*none\.pcd: points: there is none/,
    )
    await expect(
      readCloud(write('nan.xyz', ['nan nan nan', '0 inf 0']), { up: 'z', table: false, most: 9 }),
    ).rejects.toThrow(/--scene .*nan\.xyz: points: all 2 are NaN or infinite/)
    await expect(readCloud(join(root, 'missing.ply'), { up: 'z', table: false, most: 9 })).rejects.toThrow(
      /--scene .*missing\.ply cannot be read/,
    )
    await expect(
      readCloud(write('flat.obj', ['v 0 0 0', 'v 1 0 0', 'v 2 0 0', 'f 1 2 3']), { up: 'z', table: false, most: 9 }),
    ).rejects.toThrow(/--scene .*flat\.obj.*none of the 1 triangles has an area/)
  })
})
