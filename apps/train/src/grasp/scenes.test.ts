import { rngKey } from '@ditkit/core'
import { describe, expect, it } from 'vitest'
import { loadObjects } from '../data/objects/objects'
import { sceneOf } from '../data/objects/tabletop'
import { gradeGrasp, onTable } from './grade'
import { posesFromModel, toModelScene } from './model-scene'
import { readPose } from './pose'
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
