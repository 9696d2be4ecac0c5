import { type Device, mul, reference, rngKey, scope, type Tensor } from '@ditkit/core'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { Linear } from './linear'
import { buffer, Module, parameter } from './module'
import { Sequential } from './sequential'

let device: Device
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
})
afterEach(() => {
  expect(device.memory().liveTensors).toBe(0)
})

class Block extends Module {
  readonly scale: Tensor
  readonly shared: Tensor
  readonly mlp: Sequential
  readonly absent: Tensor | undefined = undefined

  constructor(shared: Tensor) {
    super()
    this.scale = parameter(device.ones([2]))
    this.shared = shared
    this.mlp = new Sequential(x => mul(x, 2), new Linear(device, rngKey(1), 2, 3))
  }
}

class Net extends Module {
  readonly shared = parameter(device.full([2, 2], 4))
  readonly positions = buffer(device.full([3], 5))
  readonly cache = buffer(device.full([1], 6), { persistent: false })
  readonly blocks = [new Block(this.shared), new Block(this.shared)]
  readonly heads = new Map([['left', new Linear(device, rngKey(2), 2, 1, { bias: false })]])
}

const BLOCK = (i: number) => [`blocks.${i}.scale`, `blocks.${i}.mlp.1.weight`, `blocks.${i}.mlp.1.bias`]

describe('names', () => {
  it('are the paths of fields, through arrays, Maps and Sequential', () => {
    const net = new Net()
    const names = Array.from(net.namedParameters(), ([name]) => name)
    expect(names).toEqual(['shared', ...BLOCK(0), ...BLOCK(1), 'heads.left.weight'])
    expect(Array.from(net.namedBuffers(), ([name]) => name)).toEqual(['positions', 'cache'])
    expect(Array.from(net.namedModules(), ([name]) => name)).toContain('blocks.1.mlp.1')
    net.dispose()
  })

  it('of a shared weight are all in the state dict, without what is not persistent', () => {
    const net = new Net()
    const names = [...net.stateTensors().keys()]
    expect(names.filter(name => name.endsWith('shared'))).toEqual(['shared', 'blocks.0.shared', 'blocks.1.shared'])
    expect(names).toContain('positions')
    expect(names).not.toContain('cache')
    net.dispose()
  })

  it('are refused for a tensor that was not marked', () => {
    class Careless extends Module {
      readonly weight = device.ones([1])
    }
    const careless = new Careless()
    expect(() => careless.parameters()).toThrow(/Careless: field weight .* neither parameter\(\) nor buffer\(\)/)
    careless.weight.dispose()
  })
})

describe('parameters', () => {
  it('made in a scope outlive it, and dispose() frees them with their gradients', () => {
    const net = scope(() => new Net().eval())
    const [first] = net.parameters()
    expect(first.disposed).toBe(false)
    first.grad = device.ones([2, 2])
    net.dispose()
    expect(first.disposed).toBe(true)
  })

  it('are frozen and unfrozen by name', () => {
    const net = new Net()
    expect(net.freeze('blocks.0.*')).toEqual(BLOCK(0))
    const trainable = () => [...net.namedParameters()].filter(([, t]) => t.requiresGrad).map(([name]) => name)
    expect(trainable()).toEqual(['shared', ...BLOCK(1), 'heads.left.weight'])
    net.unfreeze(/scale$/)
    expect(trainable()).toContain('blocks.0.scale')
    expect(() => net.freeze('block.*')).toThrow(/no weight is named like block\.\*/)
    net.dispose()
  })
})

describe('train and eval', () => {
  it('reach every module', () => {
    const net = new Net().eval()
    expect(Array.from(net.namedModules(), ([, module]) => module.training)).not.toContain(true)
    net.train()
    expect(Array.from(net.namedModules(), ([, module]) => module.training)).not.toContain(false)
    net.dispose()
  })
})

describe('state dict', () => {
  it('read from one module gives another the same values', async () => {
    const [a, b] = [
      new Sequential(new Linear(device, rngKey(3), 4, 5)),
      new Sequential(new Linear(device, rngKey(4), 4, 5)),
    ]
    const saved = await a.stateDict()
    expect(await b.loadStateDict(new Map(Object.entries(saved)))).toEqual({ missing: [], unexpected: [] })
    expect(await b.stateDict()).toEqual(saved)
    expect(saved['0.weight'].shape).toEqual([5, 4])
    a.dispose()
    b.dispose()
  })

  it('keeps buffers of integers and booleans as they are', async () => {
    class Counter extends Module {
      readonly steps: Tensor
      readonly seen: Tensor
      constructor(steps: number, seen: number) {
        super()
        this.steps = buffer(device.tensor(Int32Array.of(steps), [1]))
        this.seen = buffer(device.tensor(Uint8Array.of(seen), [1]))
      }
    }
    const [a, b] = [new Counter(2 ** 30 + 1, 1), new Counter(0, 0)]
    const saved = await a.stateDict()
    await b.loadStateDict(saved)
    expect(await b.stateDict()).toEqual(saved)
    const floats = { ...saved, steps: { shape: [1], dtype: 'f32' as const, data: Float32Array.of(1) } }
    await expect(b.loadStateDict(floats)).rejects.toThrow(/steps: expected i32 values, got f32/)
    a.dispose()
    b.dispose()
  })

  it('takes f32, f16 and bf16 values, and tensors that are read when asked for', async () => {
    const layer = new Linear(device, rngKey(5), 2, 2)
    let reads = 0
    const weight = {
      shape: [2, 2],
      dtype: 'bf16',
      read: async () => {
        reads++
        return { shape: [2, 2], dtype: 'bf16', data: new Uint16Array([0x3f80, 0xc000, 0x3e80, 0x0000]) }
      },
    }
    await layer.loadStateDict({ weight, bias: { shape: [2], dtype: 'f16', data: new Uint16Array([0x3c01, 0x8001]) } })
    const state = await layer.stateDict()
    expect([...state.weight.data]).toEqual([1, -2, 0.25, 0])
    expect([...state.bias.data]).toEqual([1 + 2 ** -10, -(2 ** -24)])
    expect(reads).toBe(1)
    await expect(
      layer.loadStateDict({ weight, bias: { shape: [2], dtype: 'i64', data: new BigInt64Array(2) } }),
    ).rejects.toThrow(/bias: expected f32, f64, f16 or bf16 values, got i64/)
    layer.dispose()
  })

  it('of another model is refused whole, naming what differs', async () => {
    const layer = new Linear(device, rngKey(6), 2, 2)
    const before = await layer.stateDict()
    const wrong = {
      weight: { shape: [2, 3], dtype: 'f32', data: new Float32Array(6) },
      scale: { shape: [2], dtype: 'f32', data: new Float32Array(2) },
    }
    const attempt = layer.loadStateDict(wrong)
    await expect(attempt).rejects.toThrow(/missing \(1\): bias/)
    await expect(attempt).rejects.toThrow(/unexpected \(1\): scale/)
    await expect(attempt).rejects.toThrow(/weight: expected \[2, 2\], got \[2, 3\]/)
    expect(await layer.stateDict()).toEqual(before)
    const partial = { bias: { shape: [2], dtype: 'f32', data: new Float32Array([7, 8]) }, scale: wrong.scale }
    expect(await layer.loadStateDict(partial, { strict: false })).toEqual({
      missing: ['weight'],
      unexpected: ['scale'],
    })
    expect([...(await layer.stateDict()).bias.data]).toEqual([7, 8])
    await expect(layer.loadStateDict({ weight: wrong.weight }, { strict: false })).rejects.toThrow(/wrong shape/)
    layer.dispose()
  })
})
