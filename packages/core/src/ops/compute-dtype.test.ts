import fc from 'fast-check'
import { afterAll, beforeEach, expect, it, vi } from 'vitest'
import { backward } from '../autograd/engine'
import type { Backend } from '../backend'
import { createDevice, type Device } from '../device'
import type { ComputeDType } from '../dtype'
import { referenceBackend } from '../reference/backend'
import { roundToBf16 } from '../reference/bf16'
import { scope, scopeAsync } from '../scope'
import { linear, matmul } from './matmul'

/** A reference device that passes for another backend, with these `computeDtypes`. */
function deviceWith(computeDtypes: Backend['computeDtypes'], name = 'other'): Device {
  const inner = referenceBackend()
  const changed: Partial<Backend> = { computeDtypes, name }
  return createDevice(
    new Proxy(inner, {
      get: (target, key) => {
        if (key in changed) return changed[key as 'name']
        const member = Reflect.get(target, key)
        return typeof member === 'function' ? member.bind(target) : member
      },
    }),
  )
}

const warn = vi.spyOn(console, 'warn')
afterAll(() => warn.mockRestore())
beforeEach(() => {
  warn.mockReset().mockImplementation(() => {})
})
it('what a device does not multiply in is refused, with what it has', () => {
  const ask = (device: Device, computeDtype: string) => () =>
    scope(() => {
      const x = device.ones([2, 2])
      const options = { computeDtype: computeDtype as ComputeDType }
      expect(() => matmul(x, x, options)).toThrow(/^matmul: /)
      linear(x, x, undefined, options)
    })
  expect(ask(deviceWith({ bf16: {} }), 'f16')).toThrow(
    'linear: the other device does not multiply in f16 (it has f32, bf16); leave computeDtype out for f32',
  )
  expect(ask(deviceWith(undefined), 'bf16')).toThrow('does not multiply in bf16 (it has f32)')
  expect(ask(deviceWith({ bf16: {} }), 'fp16')).toThrow(
    "linear: computeDtype is 'fp16' (expected 'f32', 'bf16' or 'f16')",
  )
})

it('emulation is said once a device, and an instruction is no news', () => {
  const run = (device: Device) =>
    scope(() => {
      const x = device.ones([2, 2])
      for (let i = 0; i < 3; i++) linear(matmul(x, x, { computeDtype: 'bf16' }), x, undefined, { computeDtype: 'bf16' })
    })
  run(deviceWith({ bf16: { instruction: 'AMX' } }))
  run(deviceWith({ bf16: {} }, 'reference'))
  expect(warn).not.toHaveBeenCalled()
  run(deviceWith({ bf16: {} }))
  expect(warn).toHaveBeenCalledTimes(1)
  expect(warn.mock.lastCall?.[0]).toMatch(/no instruction for bf16/)
})

it('operands are rounded in the product and in both gradients, and nothing else is', async () => {
  const device = createDevice(referenceBackend({ dtype: 'f64' }))
  // 8 bits hold 1.0078125 and 3.015625; the numbers between go to a neighbour.
  const [x, w, b, g] = [1.01, 3.0141, 0.123456789, 1.0049]
  await scopeAsync(async s => {
    const [tx, tw, tb] = s.run(() => [
      device.tensor([x], [1, 1], { requiresGrad: true }),
      device.tensor([w], [1, 1], { requiresGrad: true }),
      device.tensor([b], [1], { requiresGrad: true }),
    ])
    const out = s.run(() => linear(tx, tw, tb, { computeDtype: 'bf16' }))
    s.run(() => backward(out, device.tensor([g], [1, 1])))
    expect(await out.item()).toBe(1.0078125 * 3.015625 + b)
    expect(await tx.grad!.item()).toBe(1.0078125 * 3.015625)
    expect(await tw.grad!.item()).toBe(1.0078125 * 1.0078125)
    expect(await tb.grad!.item()).toBe(g)
  })
  expect(device.memory().liveTensors).toBe(0)
  device.dispose()
})

it('the error of a product is at most 2^-7 (1 + 2^-9) of |A||B|, and there is one', async () => {
  const device = createDevice(referenceBackend({ dtype: 'f64' }))
  const values = (count: number) =>
    fc.array(
      fc.integer({ min: -(2 ** 40), max: 2 ** 40 }).map(i => i / 2 ** 20),
      { minLength: count, maxLength: count },
    )
  let largest = 0
  await fc.assert(
    fc.asyncProperty(values(6 * 17), values(17 * 5), async (a, b) => {
      await scopeAsync(async s => {
        const product = (left: number[], right: number[], computeDtype: ComputeDType) =>
          s.run(() => matmul(device.tensor(left, [6, 17]), device.tensor(right, [17, 5]), { computeDtype })).data()
        const size = (list: number[]) => list.map(Math.abs)
        const [rounded, exact] = [await product(a, b, 'bf16'), await product(a, b, 'f32')]
        const bound = await product(size(a), size(b), 'f32')
        for (let i = 0; i < exact.length; i++) {
          const error = Math.abs(rounded[i] - exact[i])
          largest = Math.max(largest, bound[i] > 0 ? error / bound[i] : 0)
          // (1 + 2^-8)² − 1, and float64's own rounding.
          expect(error).toBeLessThanOrEqual(bound[i] * (2 ** -7 + 2 ** -16 + 1e-14))
        }
        expect([...rounded]).toEqual([...(await product(a.map(roundToBf16), b.map(roundToBf16), 'f32'))])
      })
    }),
    { numRuns: 40 },
  )
  expect(largest).toBeGreaterThan(2 ** -12)
  device.dispose()
})
