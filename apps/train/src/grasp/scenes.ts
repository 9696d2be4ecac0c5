// The endless sequence of scenes that a grasp model is trained and judged on: one object on a table, or several of which
// the text names the one to grasp. Scene i is a function of (key, i).

import { hostUniform, permutation, type RngKey } from '@ditkit/core'
import type { Scene } from '@ditkit/scene-collate'
import type { HouseholdObject } from '../data/objects/objects'
import {
  composeTabletop,
  type Placement,
  placeGrasp,
  sampleTabletop,
  sceneOf,
  type TabletopSurface,
} from '../data/objects/tabletop'
import { gradeGrasp } from './grade'
import { POSE_PARTS } from './model-scene'
import { exchangeFingers, type GraspPose, POSE_SIZE, writePose } from './pose'
import { stretchObject } from './stretch'

export interface SceneOptions {
  /** Fewest and most points. */
  readonly points: readonly [number, number]
  /** Grasps of a scene. */
  readonly grasps: number
  /** Share of scenes with several objects. */
  readonly several: number
  readonly mostObjects: number
  /** An object alone is longer or shorter along each axis by at most this factor to either side; 1 leaves it as it is. */
  readonly stretch: number
}

/** Objects where they stand, and what is asked for. */
export interface Layout {
  readonly placed: readonly Placement[]
  /** Index of the object to grasp. */
  readonly target: number
  /** Derived grasps of it that hold in this scene; at least one. */
  readonly grasps: readonly GraspPose[]
  /** Points of the scene's surfaces, from which every look at it draws some. */
  readonly surface: TabletopSurface
}

/** So many grasps of an object among others are checked; the first of its spread set. */
const CHECKED = 96
/** Points of a layout's surface. */
const SURFACE = 4096

export class GraspScenes {
  private readonly layouts = new Map<number, Layout>()
  private readonly targets: readonly HouseholdObject[]

  /** Objects without a derived grasp stand in scenes, but are never asked for. */
  constructor(
    private readonly objects: readonly HouseholdObject[],
    private readonly options: SceneOptions,
    private readonly key: RngKey,
  ) {
    this.targets = objects.filter(object => object.entry.grasps > 0)
    if (this.targets.length === 0) throw new Error('GraspScenes: no object has a grasp')
  }

  /** Layout `index` is made once. */
  layout(index: number): Layout {
    let layout = this.layouts.get(index)
    if (!layout) {
      const arranged = this.arrange(index)
      layout = { ...arranged, surface: sampleTabletop(arranged.placed, SURFACE, this.key.foldIn(index)) }
      this.layouts.set(index, layout)
    }
    return layout
  }

  /** Scene `index` in metres: points and normals, which of them are `named` by the text, `grasps` [G, 10] and `object`, the text. The key draws points and grasps. */
  scene(index: number, key: RngKey): Scene {
    const { placed, target, grasps, surface } = this.layout(index)
    const [pointKey, graspKey, countKey] = key.split(3)
    const [few, many] = this.options.points
    const count = few + Math.floor(hostUniform(countKey, 1)[0] * (many - few + 1))
    const chosen = permutation(pointKey, SURFACE).subarray(0, count)
    const { object } = placed[target]
    const named = Float32Array.from(chosen, row => Number(surface.objects[row] === target))
    return {
      name: object.id,
      points: rowsOf(surface.points, chosen),
      fields: {
        normals: { data: rowsOf(surface.normals, chosen), width: 3, parts: ['direction'] },
        named: { data: named, width: 1 },
      },
      sets: { grasps: { data: this.draw(grasps, graspKey), width: POSE_SIZE, parts: POSE_PARTS } },
      texts: { object: object.text },
    }
  }

  private arrange(index: number): Omit<Layout, 'surface'> {
    const [kindKey, countKey, choiceKey, placeKey] = this.key.foldIn(index).split(4)
    const target = this.targets[index % this.targets.length]
    const alone = (object: HouseholdObject) => ({
      placed: [{ object, yaw: 0, position: [0, 0, 0] as const }],
      target: 0,
      grasps: object.grasps,
    })
    const { stretch, several } = this.options
    if (hostUniform(kindKey, 1)[0] >= several) {
      const [x, y, z] = hostUniform(choiceKey, 3).map(value => stretch ** (2 * value - 1))
      const stretched = stretch === 1 ? target : stretchObject(target, [x, y, z])
      return alone(stretched.grasps.length > 0 ? stretched : target)
    }
    const count = 2 + Math.floor(hostUniform(countKey, 1)[0] * (this.options.mostObjects - 1))
    const chosen = this.unlike(target, count, choiceKey)
    const placed = composeTabletop(chosen, placeKey, chosen.length)
    const at = placed.findIndex(({ object }) => object === target)
    const scene = sceneOf(placed)
    const grasps = target.grasps
      .slice(0, CHECKED)
      .map(grasp => placeGrasp(grasp, placed[at]))
      .filter(grasp => gradeGrasp(scene, grasp).holds)
    return grasps.length > 0 ? { placed, target: at, grasps } : alone(target)
  }

  /** The target among `count` objects of which no two have the same text. */
  private unlike(target: HouseholdObject, count: number, key: RngKey): HouseholdObject[] {
    const chosen = [target]
    for (const index of permutation(key, this.objects.length)) {
      if (chosen.length === count) break
      const object = this.objects[index]
      if (chosen.every(other => other.text !== object.text)) chosen.push(object)
    }
    return chosen
  }

  /** [G, 10], drawn without repetition where there are enough, each with either finger first. */
  private draw(grasps: readonly GraspPose[], key: RngKey): Float32Array {
    const { grasps: count } = this.options
    const [orderKey, fingerKey] = key.split(2)
    const order = permutation(orderKey, grasps.length)
    const fingers = hostUniform(fingerKey, count)
    const vectors = new Float32Array(count * POSE_SIZE)
    for (let g = 0; g < count; g++) {
      const grasp = grasps[order[g % order.length]]
      writePose(fingers[g] < 0.5 ? exchangeFingers(grasp) : grasp, vectors, g * POSE_SIZE)
    }
    return vectors
  }
}

/** Rows of three numbers. */
function rowsOf(values: Float32Array, rows: Int32Array): Float32Array {
  const chosen = new Float32Array(rows.length * 3)
  for (const [i, row] of rows.entries())
    for (let axis = 0; axis < 3; axis++) chosen[i * 3 + axis] = values[row * 3 + axis]
  return chosen
}
