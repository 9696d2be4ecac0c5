import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  adamwStep,
  add,
  assign,
  attention,
  concat,
  createDevice,
  crossEntropy,
  type Device,
  embedding,
  layerNorm,
  linear,
  matmul,
  mul,
  normal,
  program,
  reference,
  referenceBackend,
  relu,
  reshape,
  rmsNorm,
  rngKey,
  runProgram,
  scope,
  slice,
  sum,
  type Tensor,
  uniform,
} from './index'

let device: Device

function freed(): Tensor {
  const x = device.ones([2])
  x.dispose()
  return x
}

beforeEach(async () => {
  device = await reference()
})
afterEach(() => {
  expect(device.memory().liveTensors).toBe(0)
})

describe('tensors from the host', () => {
  it('take their dtype from the array, and copy at the call', async () => {
    const data = Float32Array.of(1, 2)
    const cases: [Tensor, string][] = [
      [device.tensor(data, [2]), 'f32'],
      [device.tensor([1, 2], [2]), 'f32'],
      [device.tensor(Int32Array.of(1, 2), [2]), 'i32'],
      [device.tensor(Uint8Array.of(0, 1), [2]), 'bool'],
      [device.tensor(Float64Array.of(1, 2), [2], { dtype: 'f64' }), 'f64'],
    ]
    data[0] = 9
    for (const [tensor, dtype] of cases) expect(tensor.dtype).toBe(dtype)
    expect(await cases[0][0].data()).toEqual(Float32Array.of(1, 2))
    for (const [tensor] of cases) tensor.dispose()
  })

  it.each([
    ['a size that does not fit', () => device.tensor([1, 2, 3], [2]), /3 elements but shape \[2\] has 2/],
    ['a negative size', () => device.zeros([-1]), /not a whole number/],
    ['a shape that is no array', () => device.zeros(3 as unknown as number[]), /must be an array/],
    ['too many axes', () => device.zeros([1, 1, 1, 1, 1, 1, 1, 1, 1]), /at most 8/],
    ['fractions as i32', () => device.tensor([1.5], [1], { dtype: 'i32' }), /element 0 is 1\.5/],
    [
      'a dtype the device lacks',
      () => device.zeros([1], { dtype: 'bf16' }),
      /bf16 does not exist on the reference device/,
    ],
    ['a gradient of integers', () => device.zeros([1], { dtype: 'i32', requiresGrad: true }), /i32 has no gradient/],
  ])('refuse %s', (_, make, message) => {
    expect(() => scope(() => void make())).toThrow(message)
  })
})

describe('errors at the door', () => {
  it.each<[string, () => unknown, RegExp]>([
    [
      'shapes that do not broadcast',
      () => add(device.ones([2, 3]), device.ones([2])),
      /add: shapes \[2, 3\] and \[2\] do not broadcast/,
    ],
    [
      'mixed dtypes',
      () => add(device.ones([2]), device.ones([2], { dtype: 'i32' })),
      /operand 1 is i32 but operand 0 is f32; use cast/,
    ],
    [
      'what is no tensor',
      () => mul(device.ones([2]), undefined as unknown as number),
      /undefined \(expected a Tensor or a number\)/,
    ],
    [
      'a product of wrong shapes',
      () => matmul(device.ones([2, 3]), device.ones([2, 3])),
      /\[2, 3\] and \[2, 3\] do not multiply/,
    ],
    [
      'a weight of the wrong width',
      () => linear(device.ones([2, 3]), device.ones([4, 5])),
      /x has shape \[2, 3\] but weight \[4, 5\] takes a last axis of 5/,
    ],
    ['a reshape that does not fit', () => reshape(device.ones([6]), [4, -1]), /6 elements and does not fit/],
    ['a slice outside the axis', () => slice(device.ones([6]), 0, 2, 9), /2 … 9 is not within axis 0/],
    ['an axis that does not exist', () => sum(device.ones([6]), 1), /axis 1 does not exist in a tensor of rank 1/],
    ['a number that is no integer', () => mul(device.ones([2], { dtype: 'i32' }), 0.5), /0\.5 is not whole/],
    ['an operand that is missing', () => relu(undefined as unknown as Tensor), /relu: x is undefined/],
    ['an operand of a list that is missing', () => concat([undefined as unknown as Tensor], 0), /concat: operand 0 is/],
    ['a freed operand of a layout op', () => reshape(freed(), [2, 1]), /reshape: a tensor of shape \[2\][\s\S]*freed/],
    [
      'an assignment of another shape',
      () => assign(device.ones([2]), device.ones([3])),
      /target has shape \[2\] but source \[3\]/,
    ],
    [
      'an assignment to a strided view',
      () => assign(slice(device.ones([2, 4]), 1, 0, 2), device.ones([2, 2])),
      /view of a part/,
    ],
    [
      'an assignment to a row',
      () => assign(slice(device.ones([2, 4]), 0, 1, 2), device.ones([1, 4])),
      /view of a part/,
    ],
  ])('name %s', (_, call, message) => {
    expect(() => scope(() => void call())).toThrow(message)
  })

  it('name the device an operand is on', async () => {
    const other = await reference()
    const elsewhere = /another device of the same kind/
    expect(() => scope(() => void add(device.ones([1]), other.ones([1])))).toThrow(elsewhere)
    const sum = program('sum', 2, 0, (b, x, y) => b.add(x, y))
    expect(() => scope(() => void runProgram(sum, [device.ones([1]), other.ones([1])]))).toThrow(elsewhere)
    const settings = { lr: 1, beta1: 0, beta2: 0, eps: 1, weightDecay: 0, step: 1, emaDecay: 0, maxNorm: 0 }
    const step = () => {
      const [parameter, firstMoment, secondMoment] = [1, 2, 3].map(() => device.ones([1]))
      adamwStep([{ parameter, gradient: other.ones([1]), firstMoment, secondMoment }], settings)
    }
    expect(() => scope(step)).toThrow(elsewhere)
    other.dispose()
    expect(() => other.ones([1])).toThrow(/was disposed/)
  })
})

describe('faults that only the data shows', () => {
  it('reject the next read, naming op and call site, and then clear', async () => {
    const rows = scope(() => embedding(device.ones([3, 2]), device.tensor(Int32Array.of(0, 7), [2])))
    await expect(rows.data()).rejects.toThrow(/embedding[\s\S]*7[\s\S]*device\.test/)
    expect(await rows.data()).toEqual(Float32Array.of(1, 1, 1, 1))
    rows.dispose()
  })

  it('met by ready() reject the next read, sync or ready', async () => {
    const fault = () => scope(() => void embedding(device.ones([3, 2]), device.tensor(Int32Array.of(7), [1])))
    const x = device.ones([2])
    for (const next of [() => x.data(), () => device.sync(), () => device.ready()]) {
      fault()
      await device.ready().catch(() => fault())
      await expect(next()).rejects.toThrow(/embedding/)
      await device.sync()
    }
    x.dispose()
  })

  it('include labels that are no class', async () => {
    for (const label of [-100, 3]) {
      const loss = scope(() => crossEntropy(device.ones([2, 3]), device.tensor(Int32Array.of(1, label), [2])))
      await expect(loss.item()).rejects.toThrow(/crossEntropy: labels holds a class outside 0 … 2[\s\S]*device\.test/)
      loss.dispose()
    }
  })

  it('of attention name the line that called it', async () => {
    const out = scope(() => {
      const x = device.ones([1, 2, 1, 4])
      return attention(x, x, x, { keyLengths: device.tensor(Int32Array.of(5), [1]) })
    })
    await expect(out.data()).rejects.toThrow(/attention: keyLengths[\s\S]*device\.test/)
    out.dispose()
  })
})

describe('norms', () => {
  it.each([
    ['layerNorm', layerNorm, 1e-5],
    ['rmsNorm', rmsNorm, 1e-6],
  ] as const)('%s adds its default eps', async (_, norm, eps) => {
    const y = scope(() => norm(device.tensor([1e-3, -1e-3], [2])))
    expect((await y.data())[0]).toBeCloseTo(1e-3 / Math.sqrt(1e-6 + eps), 6)
    y.dispose()
  })
})

describe('a view', () => {
  it('with axes of size 1 is read where it lies by linear', async () => {
    const [got, wanted] = scope(() => {
      const weight = normal(device, [3, 5], rngKey(1))
      const whole = normal(device, [4, 1, 6, 5], rngKey(2))
      const part = slice(whole, 2, 0, 3)
      return [linear(part, weight), linear(add(part, 0), weight)]
    })
    expect(await got.data()).toEqual(await wanted.data())
    got.dispose()
    wanted.dispose()
  })
})

describe('random numbers', () => {
  it('are functions of key and index alone', async () => {
    const [a, b, c] = [
      uniform(device, [3, 5], rngKey(7)),
      uniform(device, [15], rngKey(7)),
      uniform(device, [15], rngKey(8)),
    ]
    expect(await a.data()).toEqual(await b.data())
    expect(await a.data()).not.toEqual(await c.data())
    for (const t of [a, b, c]) t.dispose()
  })

  it('have the moments of their distribution', async () => {
    const x = normal(device, [40_000], rngKey(3))
    const values = Array.from(await x.data())
    x.dispose()
    const mean = values.reduce((a, b) => a + b) / values.length
    expect(Math.abs(mean)).toBeLessThan(0.02)
    expect(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length).toBeCloseTo(1, 1.5)
  })
})

describe('the queue', () => {
  it('lets timers run between steps, and reports a fault of a step at ready()', async () => {
    let fired = false
    setTimeout(() => {
      fired = true
    }, 0)
    const giveUp = Date.now() + 5000
    while (!fired && Date.now() < giveUp) await device.ready()
    expect(fired).toBe(true)
    scope(() => void embedding(device.ones([3, 2]), device.tensor(Int32Array.of(-1), [1])))
    await expect(
      (async () => {
        for (let i = 0; i < 5; i++) await device.ready()
      })(),
    ).rejects.toThrow(/embedding/)
  })

  it('a value read for a report takes no fault from the next read', async () => {
    const values: number[][] = []
    scope(() => {
      device.whenRead(device.tensor([1, 2], [2]), read => values.push([...read]))
      void embedding(device.ones([3, 2]), device.tensor(Int32Array.of(-1), [1]))
      device.whenRead(device.tensor([3], [1]), read => values.push([...read]))
    })
    const x = device.ones([1])
    await expect(x.data()).rejects.toThrow(/embedding/)
    expect([...(await x.data())]).toEqual([1])
    expect(values[0]).toEqual([1, 2])
    x.dispose()
  })

  it('is bounded: ready() waits while more than two steps are in flight', async () => {
    const finish: (() => void)[] = []
    const backend = Object.assign(referenceBackend(), {
      sync: () => new Promise<void>(resolve => void finish.push(resolve)),
    })
    const slow = createDevice(backend)
    await slow.ready()
    await slow.ready()
    let third = false
    const waiting = slow.ready().then(() => {
      third = true
    })
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(third).toBe(false)
    finish[0]()
    await waiting
    expect(third).toBe(true)
    slow.dispose()
  })

  it('counts what is live', () => {
    const before = device.memory()
    const x = device.zeros([100])
    expect(device.memory().liveBytes - before.liveBytes).toBe(400)
    x.dispose()
    expect(device.memory().liveBytes).toBe(before.liveBytes)
    expect(device.memory().peakBytes).toBeGreaterThanOrEqual(400)
  })
})
