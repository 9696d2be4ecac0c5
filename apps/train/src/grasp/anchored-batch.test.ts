import { hostNormal, rngKey } from '@ditkit/core'
import { collateScenes, type PaddedBatch, type Scene, sampleSurface, selectPoints } from '@ditkit/scene-collate'
import { describe, expect, it } from 'vitest'
import { boxMesh } from '../../test/shapes'
import { anchorGrasps, drawnOf, surfacesOf } from './anchored-batch'
import { CLEARANCE } from './derive'
import { POSE_PARTS, UNIT } from './model-scene'
import { POSE_SIZE, poseFromAxes, writePose } from './pose'

/** Boxes in the model's units, so wide along x, with points on them and a grasp from either side. */
const BOXES = [0.8, 1, 0.4]
const POINTS = [147, 59, 27]
const SIDES = [1, -1]

const scenes: Scene[] = BOXES.map((width, i) => {
  const { points, fields } = sampleSurface(boxMesh(width, 4, 2), POINTS[i], rngKey(i))
  const grasps = new Float32Array(SIDES.length * POSE_SIZE)
  for (const [g, side] of SIDES.entries()) {
    const pose = poseFromAxes([0, 0.3 * side, 1.2], [0, 0.3, -1], [side, 0, 0], width + (2 * CLEARANCE) / UNIT)
    writePose(pose, grasps, g * POSE_SIZE)
  }
  return { points, fields, sets: { grasps: { data: grasps, width: POSE_SIZE, parts: POSE_PARTS } } }
})
const collated = (some: Scene[]): PaddedBatch => collateScenes(some, { padTo: 160 })

describe('the grasps of a batch from the points that they touch', () => {
  it('are, told in the frames of these, the grasps again', () => {
    const batch = collated(scenes)
    const given = Float32Array.from(batch.sets.grasps.data)
    const { vectors, anchors } = anchorGrasps(batch)
    expect(Float32Array.from(batch.sets.grasps.data)).toEqual(given)
    expect(vectors).not.toEqual(given)
    for (const [b, frames] of anchors.entries()) {
      const own = vectors.subarray(b * SIDES.length * POSE_SIZE, (b + 1) * SIDES.length * POSE_SIZE)
      for (const g of SIDES.keys()) frames.move(own, g, g, 'surface')
    }
    for (const [i, value] of given.entries()) expect(vectors[i]).toBeCloseTo(value, 5)
  })

  it('have a point of their own scene, on the side that they close from', () => {
    for (const [b, { positions, rotations }] of anchorGrasps(collated(scenes)).anchors.entries())
      for (const [g, side] of SIDES.entries()) {
        expect(positions[3 * g]).toBeCloseTo((side * BOXES[b]) / 2, 6)
        expect(rotations[9 * g]).toBeCloseTo(side, 6)
        const { points } = scenes[b]
        const rows = Array.from({ length: points.length / 3 }, (_, i) => points.subarray(3 * i, 3 * i + 3).join())
        expect(rows).toContain(positions.subarray(3 * g, 3 * g + 3).join())
      }
  })
})

describe('points drawn of each scene', () => {
  const drawn = (some: Scene[], count: number, seed = 1) => drawnOf(collated(some), count, rngKey(seed), 0)

  it('do not depend on the order of its points, nor on padding', () => {
    const shuffled = scenes.map((scene, i) => {
      const chances = hostNormal(rngKey(9 + i), POINTS[i])
      const order = Int32Array.from(chances, (_, row) => row).sort((a, b) => chances[a] - chances[b])
      return selectPoints(scene, order)
    })
    expect(surfacesOf(collated(shuffled))).not.toEqual(surfacesOf(collated(scenes)))
    const wanted = drawn(scenes, 40)
    expect(drawn(shuffled, 40)).toEqual(wanted)
    expect(drawnOf(collateScenes(scenes), 40, rngKey(1), 0)).toEqual(wanted)
    expect(drawn(scenes, 40, 2)).not.toEqual(wanted)
  })

  it('are all different while there are any, and then the same again', () => {
    for (const [b, { positions, count }] of drawn(scenes, 100).entries()) {
      expect(count).toBe(100)
      const places = Array.from({ length: count }, (_, i) => positions.subarray(3 * i, 3 * i + 3).join())
      const first = places.slice(0, POINTS[b])
      expect(new Set(first).size).toBe(Math.min(100, POINTS[b]))
      expect(places).toEqual(places.map((_, i) => first[i % POINTS[b]]))
    }
  })
})
