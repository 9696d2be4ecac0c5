// Gradients of SceneDiTs with every option on, against finite differences in float64; and of blocks computed again.

import {
  add,
  backward,
  type Device,
  mul,
  noGrad,
  reference,
  rngKey,
  scope,
  sum,
  type Tensor,
  where,
} from '@ditkit/core'
import { hashNormal, largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SceneDiT, type SceneDiTConfig } from '../src'
import {
  ANCHORED,
  type DeviceBatch,
  DOUBLE_STREAM,
  disposeBatch,
  hashedSceneDiT,
  hostBatch,
  LOCATED,
  onDevice,
  outputs,
  PERCEIVER,
  POSE,
} from './scene-models'

let device: Device
let batch: DeviceBatch
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
  batch = onDevice(device, hostBatch('behaviour'))
})
afterAll(() => {
  disposeBatch(batch)
  expect(device.memory().liveTensors).toBe(0)
})

const T = [10, 500.5, 999]

async function withModel<R>(config: SceneDiTConfig, use: (model: SceneDiT) => Promise<R>): Promise<R> {
  const model = await hashedSceneDiT(device, config, 'behaviour/')
  const result = await use(model)
  model.dispose()
  return result
}

describe('gradients', () => {
  const weights = hashNormal('gradient', [3, 3, POSE])
  const options = (key?: number) => ({ poseMask: batch.poseMask, key: key === undefined ? undefined : rngKey(key) })
  const loss = (of: SceneDiT, key?: number) =>
    scope(() => {
      const { out, logits } = outputs(of, batch, T, options(key))
      const total = sum(mul(out, device.tensor(weights, [3, 3, POSE])))
      return logits ? add(total, sum(where(batch.poseMask, logits, 0))) : total
    })
  const clear = (of: SceneDiT) => {
    for (const tensor of [batch.x, batch.condition.points, batch.condition.text, ...of.parameters()]) {
      tensor.grad?.dispose()
      tensor.grad = undefined
    }
  }
  const gradients = async (of: SceneDiT, key?: number) => {
    scope(() => backward(loss(of, key)))
    const inputs: [string, Tensor][] = [
      ['x', batch.x],
      ['points', batch.condition.points],
      ['text', batch.condition.text],
    ]
    const result = new Map<string, number[]>()
    for (const [name, tensor] of [...inputs, ...of.namedParameters()])
      result.set(name, [...(await tensor.grad!.data())])
    clear(of)
    return result
  }

  const configs: [string, SceneDiTConfig][] = [
    ['everything at once', LOCATED],
    ['anchors', ANCHORED],
    ['perceiver and quaternions', PERCEIVER],
    ['double-stream', DOUBLE_STREAM],
    ['adaLN', { ...LOCATED, conditioning: 'adaLN' }],
  ]
  it.each(configs)('of all weights are those of the function: %s', async (_, config) => {
    await withModel({ ...config, depth: 1 }, async each => {
      const expected = await gradients(each)
      const state = await each.stateDict()
      // Along a random direction of the weights of each part, by central differences.
      const parts = new Map<string, string[]>()
      for (const name of Object.keys(state)) {
        const part = name.split('.', name.startsWith('blocks') ? 3 : 2).join('.')
        parts.set(part, [...(parts.get(part) ?? []), name])
      }
      for (const [part, names] of parts) {
        const directions = names.map(name => hashNormal(`direction/${name}`, state[name].shape))
        const set = (step: number) => {
          const moved = names.map((name, i) => {
            const { shape, data } = state[name]
            const values = Float64Array.from(data as Float64Array, (value, k) => value + step * directions[i][k])
            return [name, { shape, dtype: 'f64' as const, data: values }] as const
          })
          return each.loadStateDict(new Map(moved), { strict: false })
        }
        const at = async (step: number) => {
          await set(step)
          const value = noGrad(() => loss(each))
          const result = await value.item()
          value.dispose()
          return result
        }
        const step = 1e-5
        const slope = ((await at(step)) - (await at(-step))) / (2 * step)
        await set(0)
        const along = names.reduce((total, name, i) => {
          return expected.get(name)!.reduce((sum, value, k) => sum + value * directions[i][k], total)
        }, 0)
        expect(Math.abs(slope - along), part).toBeLessThan(1e-6 * Math.max(1, Math.abs(along)))
      }
    })
  })

  it.each(configs)('reach every weight: %s', async (_, config) => {
    await withModel(config, async each => {
      for (const [name, values] of await gradients(each)) {
        // A sample without scene or text is what these are for; all samples here have both.
        if (name.endsWith('null_token')) continue
        expect(
          values.some(value => value !== 0),
          name,
        ).toBe(true)
      }
    })
  })

  it.each(configs)('are the same when blocks are computed again, with dropout: %s', async (_, config) => {
    const dropout = { attentionDropout: 0.2, crossAttentionDropout: config.blocks === 'double-stream' ? 0 : 0.2 }
    const of = (recomputeBlocks: boolean) =>
      withModel({ ...config, ...dropout, recomputeBlocks }, each => gradients(each.train(), 3))
    const [again, kept] = [await of(true), await of(false)]
    // Gradients of what several branches read are added up in another order.
    for (const [name, values] of kept) expect(largestError(again.get(name)!, values), name).toBeLessThan(1e-12)
  })

  it('reach the scales of a fresh bias, which are 0', async () => {
    const fresh = new SceneDiT(device, rngKey(1), LOCATED).eval()
    // Where the last layer and the gates are 0 too, nothing else has a gradient yet.
    const names = [...fresh.namedParameters()].map(([name]) => name).filter(name => /adaLN|final_layer/.test(name))
    const moved = names.map(name => {
      const { shape } = fresh.stateTensors().get(name)!
      return [name, { shape, dtype: 'f32', data: hashNormal(name, shape) }] as const
    })
    await fresh.loadStateDict(new Map(moved), { strict: false })
    const got = await gradients(fresh)
    for (const name of ['geometric_bias', 'distance_bias'])
      expect(
        got.get(`blocks.0.${name}.scale`)!.some(value => value !== 0),
        name,
      ).toBe(true)
    fresh.dispose()
  })
})
