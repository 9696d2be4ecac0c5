// What padding, the order of points and the rest of a batch may do to a grasp model: nothing, from the scenes to the loss and all gradients, on the CPU.

import { cpu } from '@ditkit/backend-cpu'
import { backward, type Device, hostNormal, rngKey, scope } from '@ditkit/core'
import type { SceneDiT } from '@ditkit/dit-model'
import { collateScenes, type Scene, selectPoints } from '@ditkit/scene-collate'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadConfig } from '../src/config/load'
import { loadObjects } from '../src/data/objects/objects'
import { toModelScene } from '../src/grasp/model-scene'
import { GraspScenes } from '../src/grasp/scenes'
import { buildSceneModel } from '../src/model/build-scene'
import { makeObjective } from '../src/objective/objective'
import { GraspBatch } from '../src/task/grasps'
import { TEXT_WIDTH } from '../src/text/embed'

const SMALL = ['model.hidden=16', 'model.layers=2', 'model.heads=2', 'scene.tokens=8', 'scene.neighbors=4']
const OPTIONS = { points: [20, 59], grasps: 4, several: 0.5, mostObjects: 3, stretch: 1 } as const

let device: Device
let scenes: Scene[]
beforeAll(async () => {
  device = await cpu()
  const made = new GraspScenes(loadObjects().slice(0, 9), OPTIONS, rngKey(1))
  scenes = Array.from({ length: 5 }, (_, i) => toModelScene(made.scene(i, rngKey(i))))
})
afterAll(() => {
  expect(device.memory().liveTensors).toBe(0)
  device.dispose()
})

type Padding = Parameters<typeof collateScenes>[1]

/** Loss and gradients of all weights, by name. */
async function trained(model: SceneDiT, config: ReturnType<typeof loadConfig>['config'], given: Scene[], pad: Padding) {
  const batch = collateScenes(given, { ...pad, layout: 'padded' })
  const texts = Float32Array.from(hostNormal(rngKey(3), TEXT_WIDTH * given.length))
  const loss = scope(() => {
    const learner = { device, model, objective: makeObjective(config) }
    const loss = new GraspBatch(batch, texts).loss(learner, rngKey(4))
    backward(loss)
    return loss
  })
  const results = new Map([['loss', (await loss.data()).slice() as Float32Array]])
  for (const [name, parameter] of model.namedParameters()) {
    results.set(name, (await parameter.grad!.data()).slice() as Float32Array)
    parameter.grad!.dispose()
    parameter.grad = undefined
  }
  loss.dispose()
  return results
}

const largestOf = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)

const UNLOCATED = ['scene.distance_bias=false', 'scene.point_values=false']

describe.each([
  ['scene.encoder=set-abstraction'],
  ['scene.encoder=pointnet', ...UNLOCATED],
  ['scene.encoder=perceiver', ...UNLOCATED],
  ['scene.anchors=false'],
])('with %s', (...settings) => {
  const { config } = loadConfig('grasp', [...SMALL, ...settings])
  let model: SceneDiT
  beforeAll(async () => {
    model = buildSceneModel(device, rngKey(0), config)
    // Fresh output layers are zero, which would hide everything.
    const weights = Array.from(model.namedParameters(), ([name, { shape }], i) => {
      const size = shape.reduce((a, b) => a * b, 1)
      const data = Float32Array.from(hostNormal(rngKey(100 + i), size), value => value / Math.sqrt(shape.at(-1) ?? 1))
      return [name, { shape, dtype: 'f32', data }] as const
    })
    await model.loadStateDict(new Map(weights))
  })
  afterAll(() => model.dispose())

  it.each([
    ['with dropout', true],
    ['without', false],
  ])('padding has no influence on the loss and any gradient, to the bit, %s', async (_, training) => {
    model.train(training)
    const wanted = await trained(model, config, scenes, { padTo: 64 })
    for (const values of wanted.values()) expect(values.every(Number.isFinite)).toBe(true)
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -3e30]) {
      const got = await trained(model, config, scenes, { padTo: 64, padding: { points: value, normals: value } })
      for (const [name, values] of wanted)
        expect(Buffer.from(got.get(name)!.buffer).equals(Buffer.from(values.buffer)), name).toBe(true)
    }
  })

  it('the order of the points, and how many are padded, change a gradient by at most 1e-5 of its largest entry', async () => {
    model.eval()
    const wanted = await trained(model, config, scenes, {})
    // Among one word there is nothing to choose, so that the gradients of its queries and keys are round-off alone.
    const floor = 1e-3 * Math.max(...Array.from(wanted.values(), largestOf))
    const reversed = scenes.map(scene =>
      selectPoints(scene, Int32Array.from({ length: scene.points.length / 3 }, (_, i) => i).reverse()),
    )
    // Which points an anchor is told from is a matter of their rows: in training, every look at a scene has others anyway.
    const reordered = model.proposal ? [] : [await trained(model, config, reversed, {})]
    for (const got of [...reordered, await trained(model, config, scenes, { padTo: 147 })])
      for (const [name, values] of wanted) {
        const largest = Math.max(floor, largestOf(values))
        const error = values.reduce((most, value, i) => Math.max(most, Math.abs(value - got.get(name)![i])), 0)
        expect(error, name).toBeLessThanOrEqual(1e-5 * largest)
      }
  })
})
