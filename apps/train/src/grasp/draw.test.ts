import { add, hostNormal, reference, reshape, rngKey, scope, slice, sum, type Tensor } from '@ditkit/core'
import type { EncodedCondition, PoseFrames, SceneCondition, SceneDiT } from '@ditkit/dit-model'
import { expect, test } from 'vitest'
import { loadConfig } from '../config/load'
import type { Objective } from '../objective/objective'
import { drawGrasps } from './draw'
import { POSE_SIZE } from './pose'

/** Answers with its state plus the text, as if that were a pose. */
const model = {
  eval() {},
  train() {},
  encode: (condition: SceneCondition) => condition as EncodedCondition,
  forwardWithGuidance: (x: Tensor, _t: number, { text }: EncodedCondition) =>
    scope(() => add(x, reshape(text!, [x.shape[0], 1, POSE_SIZE]))),
} as unknown as SceneDiT
const objective = {
  progress: () => 0,
  draw: async (predict, { noise }) => predict(noise, 0),
} as Partial<Objective> as Objective

const drawn = (seed: number, count: number) => Float32Array.from(hostNormal(rngKey(seed), count))
const scenes = [7, 1, 59, 12, 3].map((count, i) => ({
  points: drawn(i, 3 * count).map(value => value + 3 * i),
  fields: { normals: { data: drawn(10 + i, 3 * count), width: 3 } },
}))
const texts = drawn(20, scenes.length * POSE_SIZE)

test('a scene has the same poses whatever the batches, and is told its own text', async () => {
  const device = await reference()
  const { config } = loadConfig('grasp', [])
  const draw = (batch: number, some = texts) => {
    const own = { ...config, sample: { ...config.sample, batch } }
    return drawGrasps({ device, model, objective, config: own, scenes, texts: some, count: 4, key: rngKey(1) })
  }
  const alone = await draw(1)
  expect(alone.map(poses => poses.length)).toEqual(scenes.map(() => 4 * POSE_SIZE))
  for (const batch of [2, 3, 9]) expect(await draw(batch)).toEqual(alone)
  const changed = texts.map((value, i) => (Math.floor(i / POSE_SIZE) === 3 ? value + 1 : value))
  const same = (await draw(2, changed)).map((poses, i) => poses.join() === alone[i].join())
  expect(same).toEqual([true, true, true, false, true])
  expect(device.memory().liveTensors).toBe(0)
  device.dispose()
})

test('a scene has the same anchors whatever the batches', async () => {
  const device = await reference()
  const { config } = loadConfig('grasp', [])
  /** Its logits are the points' heights; it answers with its state. */
  const anchored = {
    ...model,
    device,
    encodeAnchors: ({ positions }: PoseFrames) => scope(() => slice(positions, 2, 2, 3)),
    proposal: { forward: (features: Tensor) => ({ shape: sum(features, 2), named: sum(features, 2) }) },
    forwardWithGuidance: (x: Tensor) => scope(() => add(x, 0)),
  } as unknown as SceneDiT
  const draw = (batch: number) => {
    const own = { ...config, sample: { ...config.sample, batch, guidance: 1, anchor_temperature: 100 } }
    return drawGrasps({ device, model: anchored, objective, config: own, scenes, count: 4, key: rngKey(1) })
  }
  const alone = await draw(1)
  for (const batch of [2, 3, 9]) expect(await draw(batch)).toEqual(alone)
  expect(device.memory().liveTensors).toBe(0)
  device.dispose()
})
