import { type Device, reference, rngKey, scope, type Tensor } from '@ditkit/core'
import type { SceneDiT } from '@ditkit/dit-model'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../config/load'
import { UNIT } from '../grasp/model-scene'
import type { HostData, Objective } from '../objective/objective'
import { GraspTask } from './grasps'

let device: Device
beforeAll(async () => {
  device = await reference()
})
afterAll(() => device.dispose())

const open = async (...overrides: string[]) => {
  const { config } = loadConfig('grasp', ['data.scenes=6', 'data.points=[20,30]', 'data.grasps=4', ...overrides])
  if (config.data.kind !== 'objects') throw new Error('the recipe grasp is about objects')
  return GraspTask.open(config.data, () => {})
}

/** What a batch of the training scenes hands to the objective, and what it shows the model. */
async function seen(task: GraspTask, split: 'train' | 'validation' = 'train') {
  const got: { data?: Tensor; host?: HostData; points?: Tensor } = {}
  const model = {
    forward: (x: Tensor, _t: unknown, condition: { points: Tensor }) => {
      got.points = condition.points
      return x
    },
  } as unknown as SceneDiT
  const objective = {
    loss(predict, data, _key, host) {
      Object.assign(got, { data, host })
      return predict(data, 0)
    },
  } as Partial<Objective> as Objective
  const read = await Promise.all(
    scope(() => {
      task[split].read([0, 1, 2], rngKey(5)).loss({ device, model, objective }, rngKey(6))
      return [got.data!, got.points!]
    }).map(async tensor => ({ shape: tensor.shape, values: (await tensor.data()).slice() })),
  )
  return { data: read[0], points: read[1], host: got.host! }
}

test('noise may couple with the grasps of one scene only', async () => {
  const { data, host } = await seen(await open())
  expect(data.shape).toEqual([3, 4, 10])
  expect([...host.values]).toEqual([...data.values])
  expect(host.rows).toBe(12)
  expect(Array.from(host.condition!)).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
})

test('jitter moves the points of training scenes by what it says, and neither grasps nor normals', async () => {
  const [still, shaken] = [await seen(await open('data.jitter=0')), await seen(await open('data.jitter=0.002'))]
  expect(shaken.points.shape).toEqual(still.points.shape)
  let [squares, count] = [0, 0]
  for (const [i, value] of still.points.values.entries()) {
    const moved = Number(shaken.points.values[i]) - Number(value)
    if (i % 6 > 2) expect(moved).toBe(0)
    else if (value !== 0) {
      squares += moved ** 2
      count++
    }
  }
  // In the model's units; where the scene's mean goes, the jitter's own mean is taken off.
  expect(UNIT * Math.sqrt(squares / count)).toBeGreaterThan(0.0015)
  expect(UNIT * Math.sqrt(squares / count)).toBeLessThan(0.0025)
})
