// Training, replayed: 20 AdamW steps with clipping and EMA on the same data, noise and timesteps as PyTorch's in float64.

import { cpu } from '@ditkit/backend-cpu'
import { readSafetensors } from '@ditkit/checkpoint/node'
import { backward, type Device, mseLoss, scope } from '@ditkit/core'
import { AdamW, EMA, type StateDict } from '@ditkit/nn'
import { countSketch, hashIntegers, hashNormal, relativeDistance } from '@ditkit/oracle'
import { expect, it } from 'vitest'
import { BLOBS, fixturePath, hashedModel, withoutKeyThird } from './configs'

const STEPS = 20
const T = 100
const BATCH = 64
const SHAPE = [BATCH, 1, 16, 16]

it('20 AdamW steps of the blobs model agree with PyTorch in losses, weights and EMA', async () => {
  const device = await cpu()
  const expected = await readSafetensors(fixturePath('blobs-replay.safetensors'))
  const fixture = (name: string) => expected.get(name)!.data as Float32Array
  const model = await hashedModel(device, BLOBS, 'blobs/')
  const ema = new EMA(model, { decay: 0.99 })
  const optimizer = new AdamW(model, { lr: 1e-3, weightDecay: 0.01, maxGradNorm: 1, ema })
  const live: number[] = []
  for (let step = 0; step < STEPS; step++) {
    const { noisy, noise, t, y } = batchOf(device, step)
    const loss = scope(() => {
      const value = mseLoss(model.forward(noisy, t, y), noise)
      backward(value)
      optimizer.step()
      optimizer.zeroGrad()
      return value
    })
    const wanted = fixture('losses')[step]
    expect(Math.abs((await loss.item()) - wanted) / wanted, `loss of step ${step}`).toBeLessThan(1e-5)
    const { gradNorm } = await optimizer.lastStep()
    expect(Math.abs(gradNorm / fixture('norms')[step] - 1), `gradient norm of step ${step}`).toBeLessThan(1e-5)
    for (const tensor of [loss, noisy, noise]) tensor.dispose()
    live.push(device.memory().liveTensors)
  }

  const compare = (kind: string, state: StateDict) => {
    for (const [name, { data }] of Object.entries(state)) {
      if (name === 'pos_embed') continue
      const values = withoutKeyThird(name, data)
      const wanted = fixture(`${kind}.${name}`)
      // Large tensors are stored as sketches, which keep the norm of a difference; the norm to divide by is the tensor's own.
      const whole = data.length === wanted.length
      const distance = whole
        ? relativeDistance(values, withoutKeyThird(name, wanted))
        : distanceOf(countSketch(name, data, wanted.length), wanted) / normOf(data)
      expect(distance, `${kind}.${name}`).toBeLessThan(1e-5)
    }
  }
  expect(new Set(live).size, `live tensors after each step: ${live}`).toBe(1)
  compare('model', await model.stateDict())
  compare('ema', await ema.stateDict())
  for (const owner of [optimizer, ema, model]) owner.dispose()
  expect(device.memory().liveTensors).toBe(0)
  device.dispose()
})

/** x_t = √ᾱ·x + √(1 − ᾱ)·noise under linear betas rescaled by 1000/T, computed in float64. */
function batchOf(device: Device, step: number) {
  const prefix = `blobs/${step}/`
  const [x, noise] = ['x', 'noise'].map(name => hashNormal(prefix + name, SHAPE))
  const t = hashIntegers(`${prefix}t`, BATCH, T)
  const perSample = x.length / BATCH
  const noisy = x.map((value, i) => {
    const a = ALPHAS_CUMPROD[t[Math.floor(i / perSample)]]
    return Math.sqrt(a) * value + Math.sqrt(1 - a) * noise[i]
  })
  const y = hashIntegers(`${prefix}y`, BATCH, 11)
  return { noisy: device.tensor(noisy, SHAPE), noise: device.tensor(noise, SHAPE), t, y }
}

const ALPHAS_CUMPROD = alphasCumprod(1e-4 * (1000 / T), 0.02 * (1000 / T))

function alphasCumprod(first: number, last: number): number[] {
  let product = 1
  return Array.from({ length: T }, (_, t) => {
    product *= 1 - (first + ((last - first) * t) / (T - 1))
    return product
  })
}

function normOf(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] ** 2
  return Math.sqrt(sum)
}

function distanceOf(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return normOf(Array.from(a, (value, i) => value - b[i]))
}
