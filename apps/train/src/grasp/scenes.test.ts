import { rngKey } from '@ditkit/core'
import { describe, expect, it } from 'vitest'
import { HouseholdObject, loadObjects } from '../data/objects/objects'
import { sampleTabletop, sceneOf } from '../data/objects/tabletop'
import { gradeGrasp, onTable } from './grade'
import { posesFromModel, toModelScene } from './model-scene'
import { type GraspPose, readPose } from './pose'
import { GraspScenes } from './scenes'
import { stretchObject } from './stretch'

const objects = loadObjects().slice(0, 12)
const options = { points: [60, 80], grasps: 6, several: 0.5, mostObjects: 3, stretch: 1.2 } as const
const scenesOf = (seed: number, changes = {}) => new GraspScenes(objects, { ...options, ...changes }, rngKey(seed))

describe('GraspScenes', () => {
  it('makes the same scene of the same keys, in whatever order', () => {
    const [first, second] = [scenesOf(1), scenesOf(1)]
    second.scene(5, rngKey(0))
    expect(second.scene(3, rngKey(7))).toEqual(first.scene(3, rngKey(7)))
    expect(first.scene(3, rngKey(8)).points).not.toEqual(first.scene(3, rngKey(7)).points)
  })

  it('holds grasps that hold among the objects that stand there, at the object that the text names alone', () => {
    const scenes = scenesOf(2)
    let several = 0
    for (let i = 0; i < 8; i++) {
      const { placed, target } = scenes.layout(i)
      const scene = scenes.scene(i, rngKey(i))
      if (placed.length > 1) several++
      expect(placed.filter(({ object }) => object.text === scene.texts!.object)).toEqual([placed[target]])
      const { data, width } = scene.sets!.grasps
      expect(data.length).toBe(6 * width)
      for (let g = 0; g < 6; g++) {
        const grade = gradeGrasp(sceneOf(placed), readPose(data, g * width))
        expect(grade).toMatchObject({ holds: true, object: target })
      }
    }
    expect(several).toBeGreaterThan(0)
    expect(several).toBeLessThan(8)
  })

  it('shows each grasp with either finger first', () => {
    const scenes = scenesOf(5, { several: 0 })
    const seen = new Set<boolean>()
    for (let i = 0; i < 4; i++) {
      const { grasps } = scenes.layout(i)
      const { data, width } = scenes.scene(i, rngKey(i)).sets!.grasps
      const closing = ({ rotation: r }: GraspPose) => [r[1], r[4], r[7]]
      for (let g = 0; g < 6; g++) {
        const drawn = readPose(data, g * width)
        const near = (a: readonly number[], b: readonly number[], sign: number) =>
          a.every((value, axis) => Math.abs(value - sign * b[axis]) < 1e-4)
        const derived = grasps.filter(({ position }) => near(position, drawn.position, 1))
        const sign = [1, -1].find(sign => derived.some(grasp => near(closing(grasp), closing(drawn), sign)))
        expect(sign).toBeDefined()
        seen.add(sign === 1)
      }
    }
    expect(seen.size).toBe(2)
  })

  it('has unit normals that point out of the surface the points lie on', () => {
    const scenes = scenesOf(6, { several: 0, stretch: 1 })
    for (let i = 0; i < 4; i++) {
      const { points, fields, texts } = scenes.scene(i, rngKey(i))
      const object = objects.find(({ text }) => text === texts!.object)!
      const surface = sampleTabletop([{ object, yaw: 0, position: [0, 0, 0] }], 4000, rngKey(9))
      let agree = 0
      for (let p = 0; p < points.length; p += 3) {
        const normal = fields!.normals.data.subarray(p, p + 3)
        expect(Math.hypot(...normal)).toBeCloseTo(1, 4)
        let [best, cosine] = [Infinity, 0]
        for (let s = 0; s < surface.points.length; s += 3) {
          const apart = Math.hypot(...[0, 1, 2].map(axis => surface.points[s + axis] - points[p + axis]))
          if (apart >= best) continue
          best = apart
          cosine = [0, 1, 2].reduce((sum, axis) => sum + surface.normals[s + axis] * normal[axis], 0)
        }
        if (cosine > 0.5) agree++
      }
      // On thin things the nearest of other points is often on the other side; chance is below a third.
      expect(agree / (points.length / 3)).toBeGreaterThan(0.6)
    }
  })

  it('puts no two objects of one text on a table', () => {
    const alike = objects.map(({ entry, mesh, grasps }, i) => {
      const text = i < 9 ? 'a thing' : entry.text
      return new HouseholdObject({ ...entry, text }, () => ({ mesh, grasps }))
    })
    const scenes = new GraspScenes(alike, { ...options, several: 1 }, rngKey(7))
    for (let i = 0; i < 12; i++) {
      const texts = scenes.layout(i).placed.map(({ object }) => object.text)
      expect(new Set(texts).size).toBe(texts.length)
    }
  })

  it('has as many points as asked for', () => {
    for (let i = 0; i < 4; i++) {
      const count = scenesOf(3).scene(i, rngKey(i)).points.length / 3
      expect(count).toBeGreaterThanOrEqual(60)
      expect(count).toBeLessThanOrEqual(80)
    }
  })
})

it('a stretched object has the new extents, and grasps that hold on it', () => {
  const object = objects.find(({ entry }) => entry.grasps > 90)!
  const stretched = stretchObject(object, [1.2, 0.9, 1.1])
  expect(stretched.entry.high[0]).toBeCloseTo(1.2 * object.entry.high[0], 9)
  expect(stretched.grasps.length).toBeGreaterThan(0)
  for (const grasp of stretched.grasps) expect(gradeGrasp(onTable(stretched.bvh), grasp).holds).toBe(true)
})

it("poses come back from the model's units to where they were", () => {
  const scene = scenesOf(4).scene(0, rngKey(0))
  const seen = toModelScene(scene, 1.3)
  const back = posesFromModel(seen.sets!.grasps.data as Float32Array, seen.transform!)
  for (const [i, value] of scene.sets!.grasps.data.entries()) expect(back[i]).toBeCloseTo(value, 5)
})
