// Models, losses, optimizers and samplers on a device that completes nothing before a read: they must not come to depend on results being there
// at once. Bit for bit the same as on the device behind it.

import {
  backward,
  createDevice,
  type Device,
  normal,
  reference,
  referenceBackend,
  rngKey,
  scope,
  type Tensor,
} from '@ditkit/core'
import { ddpmSample, diffusionLoss, diffusionSchedule } from '@ditkit/diffusion'
import { DiT } from '@ditkit/dit-model'
import { flowMatchingLoss, odeSolve, sampleTime } from '@ditkit/flow-matching'
import { AdamW, EMA } from '@ditkit/nn'
import { expect, it } from 'vitest'
import { queuedBackend } from '../src/queued-backend'

const SHAPE = [2, 1, 8, 8]
const LABELS = [1, 0]
const schedule = diffusionSchedule({ steps: 4 })

/** Trains for two steps by both objectives, with clipping, EMA and checkpointing, and draws; everything that can be read. */
async function trainAndDraw(device: Device): Promise<Map<string, ArrayLike<number>>> {
  const model = new DiT(device, rngKey(0), {
    inputSize: 8,
    patchSize: 2,
    inChannels: 1,
    hiddenSize: 16,
    depth: 2,
    numHeads: 2,
    numClasses: 3,
    recomputeBlocks: true,
  })
  const ema = new EMA(model, { decay: 0.9 })
  const optimizer = new AdamW(model, { lr: 1e-2, maxGradNorm: 1, ema })
  const data = normal(device, SHAPE, rngKey(1))
  const read = new Map<string, ArrayLike<number>>()
  for (let step = 0; step < 2; step++) {
    const [noiseKey, timeKey, labelKey] = rngKey(2).foldIn(step).split(3)
    const network = (x: Tensor, t: number[]) => model.forward(x, t, LABELS, { key: labelKey })
    const loss = scope(() => {
      const noise = normal(device, SHAPE, noiseKey)
      const loss =
        step === 0
          ? flowMatchingLoss(network, data, { x0: noise, t: sampleTime('logit-normal', timeKey, 2) })
          : diffusionLoss(network, data, { schedule, t: [0, 3], noise })
      backward(loss)
      optimizer.step()
      optimizer.zeroGrad()
      return loss
    })
    read.set(`loss ${step}`, await loss.data())
    loss.dispose()
  }
  model.eval()
  await ema.whileApplied(async () => {
    const start = normal(device, SHAPE, rngKey(3))
    const flow = await odeSolve((x, t) => model.forwardWithGuidance(x, 1000 * t, LABELS, 2), start, {
      method: 'heun',
      steps: 2,
    })
    const ddpm = await ddpmSample(device, (x, t) => model.forward(x, t, LABELS), SHAPE, { schedule, key: rngKey(4) })
    for (const [name, tensor] of Object.entries({ flow, ddpm })) read.set(name, await tensor.data())
    for (const tensor of [start, flow, ddpm]) tensor.dispose()
  })
  for (const [name, record] of Object.entries(await model.stateDict())) read.set(name, record.data as Float32Array)
  for (const owner of [optimizer, ema, model, data]) owner.dispose()
  expect(device.memory().liveTensors).toBe(0)
  return read
}

it('training and sampling give the same bits on a device that runs nothing before it is read', async () => {
  const immediate = await trainAndDraw(await reference())
  const queued = await trainAndDraw(createDevice(queuedBackend(referenceBackend())))
  expect([...queued.keys()]).toEqual([...immediate.keys()])
  for (const [name, values] of immediate) expect(queued.get(name), name).toEqual(values)
})
