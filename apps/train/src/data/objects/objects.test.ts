import { createHash } from 'node:crypto'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rngKey } from '@ditkit/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { boxMesh } from '../../../test/shapes'
import { holdsNearby } from '../../grasp/derive'
import { gradeGrasp, onTable } from '../../grasp/grade'
import { PARALLEL_JAW } from '../../grasp/gripper'
import { poseFromAxes } from '../../grasp/pose'
import { objectFolder } from '../../package-files'
import { headerOf, packObject, unpackObject } from './codec'
import { loadObjects } from './objects'
import { composeTabletop, sampleTabletop, sceneOf, tabletopGrasps } from './tabletop'

const objects = loadObjects()

describe('the objects that ship', () => {
  test('stand on the table, centred, and are at most 40 cm large', () => {
    for (const { id, mesh, entry } of objects) {
      const { low, high } = headerOf({ mesh, grasps: [] })
      expect(Math.abs(low[2]), id).toBeLessThan(5e-4)
      expect(Math.max(...high.map((value, axis) => value - low[axis])), id).toBeLessThan(0.401)
      for (const axis of [0, 1, 2]) {
        expect(low[axis], id).toBeCloseTo(entry.low[axis], 4)
        expect(high[axis], id).toBeCloseTo(entry.high[axis], 4)
      }
      expect(
        mesh.faces.every(corner => corner >= 0 && corner < mesh.vertices.length / 3),
        id,
      ).toBe(true)
    }
  })

  test('have grasps that all hold', () => {
    for (const { id, bvh, grasps } of objects) {
      expect(grasps.length, id).toBeGreaterThanOrEqual(16)
      const failures = grasps.map(grasp => gradeGrasp(onTable(bvh), grasp)).filter(grade => !grade.holds)
      expect(failures, id).toEqual([])
    }
  })

  test('have grasps that hold at twice the margin too, unless less than a third of a full set does', () => {
    const full = Math.max(...objects.map(({ grasps }) => grasps.length))
    for (const { id, bvh, grasps } of objects.filter((_, i) => i % 32 === 9)) {
      const robust = grasps.filter(grasp => holdsNearby(onTable(bvh), grasp, PARALLEL_JAW, 2)).length
      // Packing moves a grasp by a hair.
      if (robust >= full / 3) expect(robust / grasps.length, id).toBeGreaterThan(0.98)
    }
  })

  test('15 to 22 of 100 are held out, like shapes together', () => {
    const held = objects.filter(({ entry }) => entry.split === 'held-out').length / objects.length
    expect(held).toBeGreaterThan(0.15)
    expect(held).toBeLessThan(0.22)
    const splits = new Map<string, Set<string>>()
    for (const { entry } of objects)
      splits.set(entry.group, (splits.get(entry.group) ?? new Set<string>()).add(entry.split))
    expect([...splits.values()].every(split => split.size === 1)).toBe(true)
    expect(new Set(objects.map(({ id }) => id)).size).toBe(objects.length)
  })

  test('are credited, each with its licence', () => {
    const text = readFileSync(join(objectFolder, 'ATTRIBUTION.md'), 'utf8')
    for (const { id, entry } of objects) {
      expect(text).toContain(`| ${id} |`)
      expect(entry.author).not.toBe('')
      expect(entry.catalogue === 'BlendSwap-CC-0' ? 'CC0-1.0' : 'CC-BY-3.0').toBe(entry.licence)
    }
  })

  test('have points on their surface with normals outward, as the key says', () => {
    const [{ entry }, object] = [objects[0], objects[0]]
    const { points, normals } = object.sample(200, rngKey(1))
    expect(points.length).toBe(600)
    for (let i = 0; i < 600; i++) {
      expect(points[i]).toBeGreaterThan(entry.low[i % 3] - 1e-4)
      expect(points[i]).toBeLessThan(entry.high[i % 3] + 1e-4)
    }
    for (let i = 0; i < 600; i += 3) expect(Math.hypot(...normals.subarray(i, i + 3))).toBeCloseTo(1, 5)
    expect(object.sample(200, rngKey(1)).points).toEqual(points)
    expect(object.sample(200, rngKey(2)).points).not.toEqual(points)
  })
})

test('packing keeps a mesh to a step of its grid, its triangles, and grasps to a hair', () => {
  const mesh = boxMesh(0.05, 0.3, 0.06)
  const grasps = [
    poseFromAxes([0.01, -0.14, 0.05], [0.1, 0.2, -1], [1, 0.1, 0], 0.06),
    poseFromAxes([0, 0.1, 0.05], [-1, 0, 0], [0, -1, 0.2], 0.08),
  ]
  const header = headerOf({ mesh, grasps })
  const unpacked = unpackObject(packObject({ mesh, grasps }, header), header)
  expect(unpacked.mesh.faces).toEqual(mesh.faces)
  for (const [i, value] of mesh.vertices.entries())
    expect(Math.abs(unpacked.mesh.vertices[i] - value)).toBeLessThan(0.3 / 0xffff)
  for (const [g, { position, rotation, width }] of grasps.entries()) {
    for (const [i, value] of position.entries()) expect(unpacked.grasps[g].position[i]).toBeCloseTo(value, 4)
    for (const [i, value] of rotation.entries()) expect(unpacked.grasps[g].rotation[i]).toBeCloseTo(value, 3)
    expect(unpacked.grasps[g].width).toBeCloseTo(width, 5)
  }
  expect(() => unpackObject(packObject({ mesh, grasps }, header), { ...header, vertices: 9 })).toThrow(
    /its header says/,
  )
})

describe('a folder that is not as it was made', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'ditkit-objects-'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))
  const copy = (file: string) => copyFileSync(join(objectFolder, file), join(folder, file))

  test('without an index, or without the data', () => {
    expect(() => loadObjects({ folder })).toThrow(
      /cannot read the index of objects .*objects\.json.*; install ditkit again/s,
    )
    copy('objects.json')
    expect(() => loadObjects({ folder })).toThrow(/cannot read the objects' data .*objects\.bin/)
  })

  test('with data cut short, or with one bit turned over', () => {
    copy('objects.json')
    const bytes = readFileSync(join(objectFolder, 'objects.bin'))
    writeFileSync(join(folder, 'objects.bin'), bytes.subarray(0, 1000))
    expect(() => loadObjects({ folder })).toThrow(/has 1000 bytes, its index says/)
    bytes[5000] ^= 1
    writeFileSync(join(folder, 'objects.bin'), bytes)
    expect(() => loadObjects({ folder })).toThrow(/is damaged: its SHA-256 is/)
  })

  test('with objects that cannot be used: each is named, and left out only when that is allowed', () => {
    const box = boxMesh(0.05, 0.1, 0.06)
    const flat = { ...box, vertices: box.vertices.map((value, i) => (i % 3 === 0 ? value : 0)) }
    const torn = { ...box, faces: Int32Array.from(box.faces, (corner, i) => (i === 4 ? 9 : corner)) }
    const blocks = [box, flat, torn, box, box, box].map(mesh => {
      const geometry = { mesh, grasps: [] }
      const header = headerOf(geometry)
      return { header, block: packObject(geometry, header) }
    })
    blocks[3].block.fill(0)
    const shared = { category: 'box', split: 'train', group: 'boxes', licence: 'CC0-1.0', author: 'A', catalogue: 'C' }
    let offset = 0
    const entries = blocks.map(({ header, block }, i) => {
      const entry = { id: `box-${i}`, text: i === 4 ? ' ' : 'a box', ...shared, ...header, offset, bytes: block.length }
      offset += block.length
      return entry
    })
    const write = (kept: typeof entries) => {
      const bytes = Buffer.concat(blocks.map(({ block }) => block))
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      const data = { file: 'objects.bin', bytes: bytes.length, sha256 }
      writeFileSync(join(folder, 'objects.bin'), bytes)
      writeFileSync(join(folder, 'objects.json'), JSON.stringify({ format: 1, data, objects: kept }))
    }
    write(entries)
    expect(() => loadObjects({ folder })).toThrow(
      /object box-1 of .*: mesh: none of its 12 triangles has an area; repair it, or say data\.skip_broken=true/,
    )
    const warned: string[] = []
    const left = loadObjects({ folder, skip_broken: true }, line => warned.push(line))
    expect(left.map(({ id }) => id)).toEqual(['box-0', 'box-5'])
    const reasons = [
      /box-1.*mesh: none/,
      /box-2.*mesh: faces: face 1 names vertex 9/,
      /box-3.*data: /,
      /box-4.*text: is empty/,
    ]
    expect(warned).toHaveLength(reasons.length)
    for (const [i, reason] of reasons.entries()) expect(warned[i]).toMatch(reason)
    write([{ ...entries[0], offset: offset - 5 }])
    expect(() => loadObjects({ folder })).toThrow(/object box-0 of .*: data: ends at byte/)
    expect(() => loadObjects({ folder, skip_broken: true }, () => {})).toThrow('none of its 1 objects can be used')
  })

  test('with an index of another format', () => {
    writeFileSync(join(folder, 'objects.json'), '{"format": 2, "objects": []}')
    expect(() => loadObjects({ folder })).toThrow(/is not an index of this version of ditkit/)
  })
})

describe('a table with several objects', () => {
  const few = objects.slice(0, 12)

  test('is a function of the key, with two to five different objects that stand apart', () => {
    const counts = new Set<number>()
    for (let seed = 0; seed < 40; seed++) {
      const placed = composeTabletop(few, rngKey(seed))
      counts.add(placed.length)
      expect(new Set(placed.map(({ object }) => object.id)).size).toBe(placed.length)
      expect(composeTabletop(few, rngKey(seed))).toEqual(placed)
      const { points, objects: owner } = sampleTabletop(placed, 300, rngKey(seed))
      let nearest = Infinity
      for (let i = 0; i < 300; i++) {
        for (let j = 0; j < i; j++) {
          const distance = Math.hypot(points[i * 3] - points[j * 3], points[i * 3 + 1] - points[j * 3 + 1])
          if (owner[i] !== owner[j]) nearest = Math.min(nearest, distance)
        }
      }
      expect(nearest).toBeGreaterThan(0.0199)
      expect(Math.min(...points.filter((_, i) => i % 3 === 2))).toBeGreaterThan(-1e-4)
    }
    expect([...counts].sort()).toEqual([2, 3, 4, 5])
  })

  test('keeps the grasps that hold among the others, each with its object', () => {
    const placed = composeTabletop(few, rngKey(7), 4)
    const grasps = tabletopGrasps(placed)
    expect(grasps.length).toBeGreaterThan(0)
    expect(grasps.length).toBeLessThanOrEqual(placed.reduce((sum, { object }) => sum + object.grasps.length, 0))
    for (const { pose, object } of grasps)
      expect(gradeGrasp(sceneOf(placed), pose)).toMatchObject({ holds: true, object })
  })
})
