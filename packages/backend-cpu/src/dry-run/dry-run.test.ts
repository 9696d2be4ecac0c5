// A dry run against the device it stands for: the same bytes at every moment, and the arithmetic that shapes imply.

import {
  adamwStep,
  attention,
  backward,
  type Device,
  linear,
  matmul,
  mseLoss,
  reshape as reshaped,
  rngKey,
  scope,
  uniform,
} from '@ditkit/core'
import { afterEach, expect, test } from 'vitest'
import { Draw } from '../../test/operands'
import { cpu } from '../index'
import { cpuDryRun } from './dry-run'
import { classSize } from './ledger'

const devices: Device[] = []
afterEach(() => {
  for (const device of devices.splice(0)) device.dispose()
})

async function both() {
  const dry = await cpuDryRun()
  const real = await cpu({ threads: 1 })
  devices.push(dry.device, real)
  return { dry, real }
}

test('after any allocations and frees the ledger says what the allocator says', async () => {
  const { dry, real } = await both()
  const draw = new Draw(7)
  const held: { dispose(): void }[][] = []
  for (let i = 0; i < 400; i++) {
    if (held.length > 0 && draw.number() < 0.45) {
      const at = draw.below(held.length)
      for (const tensor of held.splice(at, 1)[0]) tensor.dispose()
    } else {
      const size = draw.below(2 ** draw.below(18))
      held.push([dry.device, real].map(device => device.empty([size])))
    }
    expect(dry.device.memory()).toEqual(real.memory())
  }
  const reserved = dry.ledger.reservedBytes
  for (const pair of held) for (const tensor of pair) tensor.dispose()
  expect(reserved).toBe(real.memory().cachedBytes)
})

test.each([1, 64, 65, 256, 257, 511, 512, 513, 640, 641, 2 ** 33 + 1])(
  'a class holds what is asked for, and at most a quarter more (%s)',
  bytes => {
    expect(classSize(bytes)).toBeGreaterThanOrEqual(bytes)
    expect(classSize(bytes)).toBeLessThanOrEqual(Math.max(bytes + 64, 1.25 * bytes))
  },
)

test('a step with attention and AdamW takes the same memory, dry or not', async () => {
  const { dry, real } = await both()
  const step = (device: Device) => {
    const keys = rngKey(1).split(3)
    const x = uniform(device, [2, 7, 24], keys[0])
    const weight = uniform(device, [24, 24], keys[1])
    weight.requiresGrad = true
    const moments = [device.zeros([24, 24]), device.zeros([24, 24])]
    const scalars = { lr: 1, beta1: 0.9, beta2: 0.9, eps: 1e-8, weightDecay: 0, step: 1, emaDecay: 0, maxNorm: 1 }
    scope(() => {
      const q = linear(x, weight)
      const heads = [2, 7, 3, 8]
      const out = attention(reshaped(q, heads), reshaped(x, heads), reshaped(x, heads))
      backward(mseLoss(reshaped(out, [2, 7, 24]), x))
      const parameter = { parameter: weight, gradient: weight.grad!, firstMoment: moments[0], secondMoment: moments[1] }
      adamwStep([parameter], scalars).dispose()
    })
    return weight.grad!
  }
  step(real)
  const gradient = step(dry.device)
  // Scratch memory is native code's own.
  expect(dry.device.memory()).toEqual({ ...real.memory(), workspaceBytes: 0 })
  expect(dry.ledger.at(gradient.storage.handle, 'test').role).toBe('gradients')
  expect(new Set(dry.ledger.blocks.map(block => block.role))).toEqual(
    new Set(['weights', 'gradients', 'optimizer state', undefined]),
  )
})

test('operations and bytes are those of the shapes, by phase', async () => {
  const { device, ledger, work } = await cpuDryRun()
  devices.push(device)
  const x = device.zeros([2, 5, 12])
  ledger.phase = 'products'
  matmul(x, device.zeros([12, 4]))
  ledger.phase = 'attention'
  const q = device.zeros([2, 5, 3, 4])
  attention(q, q, device.zeros([2, 5, 3, 6]))
  const found = (kind: string) => work().find(entry => entry.kind === kind)
  expect(found('matmul')).toMatchObject({ phase: 'products', calls: 1, operations: 2 * 10 * 12 * 4 })
  expect(found('matmul')!.bytes).toBe(4 * (2 * 5 * 12 + 12 * 4 + 2 * 5 * 4))
  expect(found('attention')).toMatchObject({ phase: 'attention', operations: 2 * (2 * 3 * 5 * 5) * (4 + 6) })
})

test('reads give zeros, and a handle that is not live is found out', async () => {
  const { device, ledger } = await cpuDryRun()
  devices.push(device)
  const x = device.ones([3])
  expect([...(await x.data())]).toEqual([0, 0, 0])
  const { handle } = x.storage
  x.dispose()
  expect(() => ledger.free(handle as number)).toThrow('free: not the handle of a live storage')
})
