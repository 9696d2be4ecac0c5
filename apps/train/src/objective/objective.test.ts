import { cpu } from '@ditkit/backend-cpu'
import { type Device, hostNormal, mul, randomInt, rngKey, scope, type Tensor } from '@ditkit/core'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { loadConfig } from '../config/load'
import { makeObjective } from './objective'

let device: Device
beforeAll(async () => {
  device = await cpu()
})
afterAll(() => device.dispose())

const objectiveOf = (...overrides: string[]) => makeObjective(loadConfig('digits', overrides).config)

const COUNT = 32
const values = Float32Array.from(hostNormal(rngKey(1), COUNT * 4))
const labels = randomInt(rngKey(2), COUNT, 3)

/** The loss of a model that says 0: the mean squared velocity of the pairs. */
async function speed(seed: number, condition: Int32Array | undefined, ...overrides: string[]): Promise<number> {
  const host = { values, rows: COUNT, condition }
  const loss = scope(() => {
    const data = device.tensor(values, [COUNT, 1, 2, 2])
    return objectiveOf(...overrides).loss(x => mul(x, 0), data, rngKey(seed), host)
  })
  const value = await loss.item()
  loss.dispose()
  return value
}

describe('a coupling of the recipe', () => {
  it('shortens the paths, less where labels are not to cross', async () => {
    const none = await speed(1, labels)
    const anywhere = await speed(1, undefined, 'flow.coupling=exact')
    const within = await speed(1, labels, 'flow.coupling=exact')
    expect(anywhere).toBeLessThan(within)
    expect(within).toBeLessThan(0.9 * none)
    const entropic = await speed(1, labels, 'flow.coupling=sinkhorn')
    expect(entropic).toBeGreaterThan(within)
    expect(entropic).toBeLessThan(none)
  })

  it('is a function of the key', async () => {
    for (const coupling of ['exact', 'sinkhorn']) {
      const of = (seed: number) => speed(seed, labels, `flow.coupling=${coupling}`)
      expect(await of(3)).toBe(await of(3))
      expect(await of(3)).not.toBe(await of(4))
    }
  })

  it('by Sinkhorn says once when it did not converge', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const slow = ['flow.coupling=sinkhorn', 'flow.coupling_epsilon=1e-5']
    for (const seed of [1, 2]) await speed(seed, undefined, ...slow)
    expect(warn).toHaveBeenCalledOnce()
    expect(warn.mock.calls[0][0]).toMatch(/rows are still off by .*coupling_epsilon/)
    warn.mockRestore()
  })
})

it('trains at times whose log(t / (1 − t)) has the mean and the deviation that the recipe says', async () => {
  const rows = 4000
  const data = device.zeros([rows, 1])
  const host = { values: new Float32Array(rows), rows }
  const moments = (...overrides: string[]) => {
    const logits: number[] = []
    const loss = scope(() => {
      const objective = objectiveOf('flow.time=logit-normal', ...overrides)
      const predict = (x: Tensor, times: number | number[]) => {
        for (const t of [times].flat()) logits.push(Math.log(objective.progress(t) / (1 - objective.progress(t))))
        return mul(x, 0)
      }
      return objective.loss(predict, data, rngKey(7), host)
    })
    loss.dispose()
    const mean = logits.reduce((sum, value) => sum + value, 0) / rows
    const variance = logits.reduce((sum, value) => sum + (value - mean) ** 2, 0) / rows
    return [mean, Math.sqrt(variance)]
  }
  const near = (values: number[]) => values.map(value => expect.closeTo(value, 1))
  expect(moments()).toEqual(near([0, 1]))
  expect(moments('flow.time_mean=0.8')).toEqual(near([0.8, 1]))
  expect(moments('flow.time_mean=-0.5', 'flow.time_std=0.6')).toEqual(near([-0.5, 0.6]))
  data.dispose()
})

describe('drawing', () => {
  /** Samples [2, 1, 2, 2] of a model that always says x + 3, with how often it was asked, and at which times. */
  async function draw(...overrides: string[]) {
    const objective = objectiveOf('flow.sample_steps=4', 'diffusion.sample_steps=4', ...overrides)
    const times: number[] = []
    const predict = (x: Tensor, t: number | number[]) => {
      times.push(objective.progress(typeof t === 'number' ? t : t[0]))
      return scope(() => mul(x, -3))
    }
    const noise = device.tensor(hostNormal(rngKey(5), 8), [2, 1, 2, 2])
    const drawn = await objective.draw(predict, { noise, key: rngKey(6) })
    const result = { times, values: [...(await drawn.data())] }
    for (const tensor of [noise, drawn]) tensor.dispose()
    return result
  }

  it('runs from noise, progress 0, to data, 1', async () => {
    expect((await draw()).times).toEqual([0, 0.25, 0.5, 0.75])
    const { times } = await draw('objective=ddpm')
    expect(times.length).toBe(4)
    expect(times[0]).toBeCloseTo(0, 2)
    expect(times[3]).toBeCloseTo(1, 2)
    expect([...times].sort((a, b) => a - b)).toEqual(times)
  })

  it('of a flow starts from noise of the deviation that the recipe says', async () => {
    const first = async (...overrides: string[]) => {
      const states: Promise<ArrayLike<number>>[] = []
      const noise = device.tensor(hostNormal(rngKey(8), 8), [2, 1, 2, 2])
      const predict = (x: Tensor) => {
        states.push(x.data())
        return scope(() => mul(x, 0))
      }
      const drawn = await objectiveOf(...overrides).draw(predict, { noise, key: rngKey(6) })
      for (const tensor of [noise, drawn]) tensor.dispose()
      return Array.from(await states[0])
    }
    const plain = await first()
    expect(plain).toEqual([...Float32Array.from(hostNormal(rngKey(8), 8))])
    expect(await first('flow.noise_scale=0.5')).toEqual(plain.map(value => 0.5 * value))
  })

  it.each(['flow', 'ddpm'])('corrects by %s as often as asked, by key', async kind => {
    const plain = await draw(`objective=${kind}`)
    const corrected = await draw(`objective=${kind}`, 'sample.corrector_steps=2')
    expect(corrected.times.length).toBe(12)
    expect(corrected.values).not.toEqual(plain.values)
    expect((await draw(`objective=${kind}`, 'sample.corrector_steps=2')).values).toEqual(corrected.values)
    const larger = await draw(`objective=${kind}`, 'sample.corrector_steps=2', 'sample.corrector_snr=0.4')
    expect(larger.values).not.toEqual(corrected.values)
  })

  it('clips the data as asked', async () => {
    const most = async (...overrides: string[]) => Math.max(...(await draw(...overrides)).values.map(Math.abs))
    const wild = ['objective=ddpm', 'diffusion.target=x0', 'diffusion.clip=none']
    expect(await most(...wild)).toBeGreaterThan(1.001)
    for (const clip of ['clamp', 'dynamic'])
      expect(await most(...wild, `diffusion.clip=${clip}`)).toBeLessThanOrEqual(1)
    const free = (await draw()).values
    for (const clip of ['clamp', 'dynamic']) expect((await draw(`flow.clip=${clip}`)).values).not.toEqual(free)
  })
})
