// Optimizers against PyTorch's float64 results on gradients both sides compute from a formula.

import { cpu } from '@ditkit/backend-cpu'
import { readSafetensors } from '@ditkit/checkpoint/node'
import { backward, type Device, keep, mul, reference, scope, type Tensor } from '@ditkit/core'
import { hashNormal, hashWeight, relativeDistance } from '@ditkit/oracle'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { AdamW, clipGradNorm, EMA, Module, parameter, SGD, type StateDict } from '../src'

const STEPS = 6
const SHAPES = { 'body.weight': [7, 5], 'body.bias': [7], 'head.weight': [3, 7] }

class Layer extends Module {
  constructor(
    readonly weight: Tensor,
    readonly bias?: Tensor,
  ) {
    super()
  }
}

class Net extends Module {
  readonly body: Layer
  readonly head: Layer

  constructor(prefix: string) {
    super()
    const make = (name: keyof typeof SHAPES) =>
      parameter(device.tensor(hashWeight(prefix + name, SHAPES[name]), SHAPES[name]))
    this.body = new Layer(make('body.weight'), make('body.bias'))
    this.head = new Layer(make('head.weight'))
  }

  setGradients(prefix: string): void {
    for (const [name, tensor] of this.namedParameters()) {
      tensor.grad?.dispose()
      tensor.grad = keep(device.tensor(hashNormal(prefix + name, tensor.shape), tensor.shape))
    }
  }
}

let device: Device
let expected: Awaited<ReturnType<typeof readSafetensors>>
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
  expected = await readSafetensors(new URL('fixtures/optimizers.safetensors', import.meta.url).pathname)
})
afterEach(() => {
  expect(device.memory().liveTensors).toBe(0)
})

const fixture = (name: string) => expected.get(name)!.data as Float64Array
const expectState = (state: StateDict, prefix: string, suffix = '') => {
  for (const [name, { data }] of Object.entries(state))
    expect(relativeDistance(data, fixture(`${prefix}/${name}${suffix}`)), name).toBeLessThan(1e-12)
}

const adamwOf = (net: Net, ema?: EMA, rate = 1) =>
  new AdamW(net, {
    lr: 0.01 * rate,
    betas: [0.8, 0.95],
    eps: 1e-3,
    weightDecay: 0.1,
    maxGradNorm: 2.5,
    groups: [
      { match: '*.bias', weightDecay: 0 },
      { match: /^head/, weightDecay: 0.05, lrScale: 0.5 },
    ],
    ema,
  })

describe('AdamW', () => {
  it('equals PyTorch with groups, changing rates, clipping and EMA', async () => {
    const net = new Net('adamw/')
    const ema = new EMA(net, { decay: 0.9 })
    const optimizer = adamwOf(net, ema)
    const norms: number[] = []
    for (let step = 0; step < STEPS; step++) {
      net.setGradients(`adamw/${step}/`)
      optimizer.step({ lr: 0.01 * (step + 1) })
      const { gradNorm, taken } = await optimizer.lastStep()
      expect(taken).toBe(true)
      norms.push(gradNorm)
    }
    expectState(await net.stateDict(), 'adamw')
    expectState(await ema.stateDict(), 'adamw', '.ema')
    expect(relativeDistance(norms, fixture('adamw/norms'))).toBeLessThan(1e-12)
    const { tensors } = await optimizer.stateDict()
    for (const name of Object.keys(SHAPES))
      for (const kind of ['exp_avg', 'exp_avg_sq'])
        expect(relativeDistance(tensors[`${kind}.${name}`].data, fixture(`adamw/${name}.${kind}`))).toBeLessThan(1e-12)
    for (const owner of [optimizer, ema, net]) owner.dispose()
  })

  it('resumed from saved state goes on exactly', async () => {
    const [net, copy] = [new Net('a/'), new Net('b/')]
    const [optimizer, resumed] = [adamwOf(net), adamwOf(copy)]
    net.setGradients('a/0/')
    optimizer.step()
    await copy.loadStateDict(await net.stateDict())
    await resumed.loadStateDict(await optimizer.stateDict())
    for (const [owner, model] of [
      [optimizer, net],
      [resumed, copy],
    ] as const) {
      model.setGradients('a/1/')
      owner.step()
      expect(owner.stepCount).toBe(2)
    }
    expect(await copy.stateDict()).toEqual(await net.stateDict())
    expect(await resumed.stateDict()).toEqual(await optimizer.stateDict())
    for (const owner of [optimizer, resumed, net, copy]) owner.dispose()
  })

  it('changes nothing when the gradient norm is not finite', async () => {
    const net = new Net('c/')
    const ema = new EMA(net, { decay: 0.5 })
    const optimizer = adamwOf(net, ema)
    const read = async () => [await net.stateDict(), await ema.stateDict(), (await optimizer.stateDict()).tensors]
    const before = await read()
    net.setGradients('c/')
    net.body.bias!.grad!.dispose()
    net.body.bias!.grad = device.tensor([1, 2, Number.NaN, 4, 5, 6, 7], [7])
    optimizer.step()
    expect((await optimizer.lastStep()).taken).toBe(false)
    expect(await read()).toEqual(before)
    for (const owner of [optimizer, ema, net]) owner.dispose()
  })

  it.each(['the fused step', 'the composed step'])(
    'of %s is refused a backward pass through the weights before it',
    async kind => {
      const fused = kind === 'the fused step'
      const own = fused ? await cpu({ threads: 1 }) : await reference()
      const weight = parameter(own.ones([2]))
      const adamw = new AdamW([['w', weight]])
      const [first, second] = scope(() => [mul(weight, weight), mul(weight, weight)])
      backward(first, first)
      adamw.step()
      expect(() => backward(second, second)).toThrow(/backward of mul: parameter w was changed in place/)
      for (const t of [first, second, weight]) t.dispose()
      adamw.dispose()
      expect(own.memory().liveTensors).toBe(0)
      own.dispose()
    },
  )

  it('leaves frozen weights and weights without a gradient alone', async () => {
    const net = new Net('d/')
    net.freeze('body.weight')
    const before = await net.stateDict()
    const optimizer = new AdamW(net)
    net.setGradients('d/')
    net.head.weight.grad!.dispose()
    net.head.weight.grad = undefined
    optimizer.step()
    const after = await net.stateDict()
    expect(after['body.weight']).toEqual(before['body.weight'])
    expect(after['head.weight']).toEqual(before['head.weight'])
    expect(after['body.bias']).not.toEqual(before['body.bias'])
    optimizer.zeroGrad()
    expect(() => optimizer.step()).toThrow(/no weight has a gradient/)
    optimizer.dispose()
    net.dispose()
  })

  it('refuses groups that fit nothing, nothing to train, wrong settings and foreign state', async () => {
    const net = new Net('e/')
    expect(() => new AdamW(net, { groups: [{ match: 'tail.*' }] })).toThrow(/group tail\.\* fits no trainable weight/)
    expect(() => new AdamW(net, { betas: [0.9, 1] })).toThrow(/betas must be in \[0, 1\)/)
    expect(() => new AdamW(net, { lr: -1 })).toThrow(/lr must be 0 or more/)
    expect(() => new SGD(net, { weightDecay: -1 })).toThrow(/weightDecay must be 0 or more/)
    expect(() => new SGD(net, { nesterov: true })).toThrow(/nesterov needs momentum/)
    const optimizer = new AdamW(net)
    await expect(optimizer.loadStateDict({ step: 1, tensors: {} })).rejects.toThrow(/exp_avg\.body\.weight is missing/)
    net.freeze('*')
    expect(() => new AdamW(net)).toThrow(/none of the 3 weights is trainable/)
    optimizer.dispose()
    net.dispose()
  })
})

describe('SGD', () => {
  const variants = {
    sgd: { weightDecay: 0.02 },
    'sgd-momentum': { momentum: 0.9 },
    'sgd-nesterov': { momentum: 0.9, nesterov: true, weightDecay: 0.02 },
  }
  for (const [variant, options] of Object.entries(variants))
    it(`equals PyTorch (${variant})`, async () => {
      const net = new Net(`${variant}/`)
      const optimizer = new SGD(net, { lr: 0.05, ...options })
      for (let step = 0; step < STEPS; step++) {
        net.setGradients(`${variant}/${step}/`)
        optimizer.step()
      }
      expectState(await net.stateDict(), variant)
      optimizer.dispose()
      net.dispose()
    })

  it('changes nothing when the gradient norm is not finite', async () => {
    const net = new Net('f/')
    const optimizer = new SGD(net, { lr: 1, momentum: 0.5 })
    const before = [await net.stateDict(), (await optimizer.stateDict()).tensors]
    net.setGradients('f/')
    net.body.bias!.grad!.dispose()
    net.body.bias!.grad = device.full([7], Number.POSITIVE_INFINITY)
    optimizer.step()
    expect([await net.stateDict(), (await optimizer.stateDict()).tensors]).toEqual(before)
    optimizer.dispose()
    net.dispose()
  })
})

describe('clipGradNorm', () => {
  it('scales gradients above the norm as PyTorch does, and leaves smaller ones', async () => {
    const net = new Net('g/')
    net.setGradients('g/')
    const gradients = async () => Promise.all(net.parameters().map(async tensor => [...(await tensor.grad!.data())]))
    const before = (await gradients()).flat()
    const norm = Math.hypot(...before)
    const reported = clipGradNorm(net.parameters(), 2)
    expect(await reported.item()).toBeCloseTo(norm, 10)
    const clipped = (await gradients()).flat()
    expect(
      relativeDistance(
        clipped,
        before.map(value => (value * 2) / (norm + 1e-6)),
      ),
    ).toBeLessThan(1e-12)
    clipGradNorm(net.parameters(), 100).dispose()
    expect((await gradients()).flat()).toEqual(clipped)
    reported.dispose()
    net.dispose()
  })
})
