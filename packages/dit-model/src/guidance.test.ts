import { type Device, normal, reference, rngKey, scope, type Tensor } from '@ditkit/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { guide, guided, limitedScale } from './guidance'

let device: Device
beforeEach(async () => {
  device = await reference({ dtype: 'f64' })
})
afterEach(() => expect(device.memory().liveTensors).toBe(0))

const SHAPE = [3, 2, 7]
const draws = (count: number) => Array.from({ length: count }, (_, i) => normal(device, SHAPE, rngKey(i)))

const read = async (x: Tensor) => {
  const values = [...(await x.data())]
  x.dispose()
  return values
}

/** Values of `run` on `count` random branches, beside the branches' own. */
async function evaluate(count: number, run: (...branches: Tensor[]) => Tensor) {
  const branches = draws(count)
  const out = await read(scope(() => run(...branches)))
  return { out, values: await Promise.all(branches.map(read)) }
}

const near = (got: number[], want: number[], digits = 12) =>
  got.forEach((value, i) => {
    expect(value).toBeCloseTo(want[i], digits)
  })

/** Mean and standard deviation of each sample. */
const deviations = (values: readonly number[]) =>
  [0, 1, 2].map(b => {
    const own = values.slice(b * 14, b * 14 + 14)
    const mean = own.reduce((sum, v) => sum + v, 0) / 14
    return Math.sqrt(own.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 14)
  })

describe('guide', () => {
  it('is u + s·(c − u)', async () => {
    const { out, values } = await evaluate(2, (u, c) => guide([u, c], 2.5))
    near(
      out,
      values[0].map((u, i) => u + 2.5 * (values[1][i] - u)),
    )
  })

  it('has a scale of its own for each further condition, and equal ones are one guidance', async () => {
    const { out, values } = await evaluate(3, (u, scene, both) => guide([u, scene, both], [2, 4]))
    const [u, scene, both] = values
    near(
      out,
      u.map((_, i) => u[i] + 2 * (scene[i] - u[i]) + 4 * (both[i] - scene[i])),
    )
    const same = await evaluate(3, (u, scene, both) => guide([u, scene, both], [3, 3]))
    near(
      same.out,
      u.map((_, i) => u[i] + 3 * (both[i] - u[i])),
    )
  })

  it('rescaled wholly, has the deviation of the conditional prediction in every sample', async () => {
    const { out, values } = await evaluate(2, (u, c) => guide([u, c], 7, { rescale: 1 }))
    near(deviations(out), deviations(values[1]))
    expect(deviations(out)[0]).not.toBeCloseTo(deviations(values[1])[1], 3)
  })

  it('rescaled by φ, lies that far between', async () => {
    const plain = await evaluate(2, (u, c) => guide([u, c], 7))
    const whole = await evaluate(2, (u, c) => guide([u, c], 7, { rescale: 1 }))
    const part = await evaluate(2, (u, c) => guide([u, c], 7, { rescale: 0.7 }))
    near(
      part.out,
      plain.out.map((value, i) => 0.3 * value + 0.7 * whole.out[i]),
    )
  })

  it('of predictions without any deviation, as a fresh model gives, stays finite when rescaled', async () => {
    const zeros = device.zeros(SHAPE)
    expect(await read(scope(() => guide([zeros, zeros], 3, { rescale: 0.7 })))).toEqual(new Array(42).fill(0))
    zeros.dispose()
  })

  it('refuses scales and shapes that do not fit', () => {
    const [a, b] = draws(2)
    const small = device.zeros([3, 2, 1])
    expect(() => guide([a, b], [1, 2])).toThrow(/2 scales for 2 branches/)
    expect(() => guide([a], [])).toThrow(/0 scales for 1 branches/)
    expect(() => guide([a, b], Number.NaN)).toThrow(/a scale is NaN/)
    expect(() => guide([a, b], 2, { rescale: 1.5 })).toThrow(/rescale is 1.5 \(expected 0 to 1\)/)
    expect(() => guide([a, small], 2)).toThrow(/shapes \[3, 2, 7\] and \[3, 2, 1\]/)
    for (const x of [a, b, small]) x.dispose()
  })
})

describe('a guided model', () => {
  /** Which of `count` branches run at the time, with these options; and that the result is what `guide` says. */
  async function ran(count: number, options: Parameters<typeof guided>[1], t: number, scales: number[]) {
    const outputs = draws(count)
    const used: number[] = []
    const model = guided<number>(
      outputs.map((output, i) => () => {
        used.push(i)
        return output
      }),
      options,
    )
    const x = device.zeros(SHAPE)
    const got = scope(() => model(x, t))
    const want = scope(() => guide(outputs, scales, options))
    near([...(await got.data())], [...(await want.data())])
    for (const tensor of new Set([x, got, want, ...outputs])) tensor.dispose()
    return used
  }

  it('evaluates only the last branch outside its interval', async () => {
    const options = { scales: 3, interval: [0.2, 0.8] as const, rescale: 0.7 }
    expect(await ran(2, options, 0.1, [1])).toEqual([1])
    expect(await ran(2, options, 0.2, [3])).toEqual([0, 1])
    expect(await ran(2, options, 0.8, [3])).toEqual([0, 1])
    expect(await ran(2, options, 0.81, [1])).toEqual([1])
  })

  it('evaluates no branch whose weight is 0', async () => {
    expect(await ran(2, { scales: 1 }, 0, [1])).toEqual([1])
    expect(await ran(2, { scales: 0 }, 0, [0])).toEqual([0])
    expect(await ran(3, { scales: [3, 3] }, 0, [3, 3])).toEqual([0, 2])
    expect(await ran(3, { scales: [1, 3] }, 0, [1, 3])).toEqual([1, 2])
    expect(await ran(3, { scales: [2, 0] }, 0, [2, 0])).toEqual([0, 1])
    expect(await ran(3, { scales: [2, 4] }, 0, [2, 4])).toEqual([0, 1, 2])
  })

  it('evaluates the reference of rescaling even where its weight is 0', async () => {
    expect(await ran(2, { scales: 0, rescale: 0.5 }, 0, [0])).toEqual([0, 1])
  })

  it('takes the times of a batch where they are one', () => {
    const x = device.zeros(SHAPE)
    const same = (x: Tensor, _t: number[]) => x
    const model = guided([same, same], { scales: 2, interval: [100, 900] })
    expect(model(x, [950, 950, 950])).toBe(x)
    expect(() => model(x, [950, 10, 950])).toThrow(/at different times \(950, 10, 950\)/)
    x.dispose()
  })

  it('refuses an interval that ends before it begins', () => {
    expect(() => limitedScale(2, [0.8, 0.2], 0.5)).toThrow(/interval is \[0.8, 0.2\]/)
  })
})
