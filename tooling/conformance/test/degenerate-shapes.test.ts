// Axes of size 0 and 1: every op, with each size that occurs in its shapes put to 0 and to 1 in turn. Devices must agree on the result,
// on the gradients, and on whether the call is refused at all.

import { backward, type Device, reference, scopeAsync } from '@ditkit/core'
import { largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { testDevices } from '../src/devices'
import { deviceInputs, outputGradient } from '../src/op-inputs'
import { OPS, type OpCase } from '../src/ops'

/** The case with every axis of size `from` of size `to`. */
function resized(op: OpCase, from: number, to: number): OpCase {
  const shape = (sizes: readonly number[]) => sizes.map(n => (n === from ? to : n))
  const inputs = op.inputs.map(input => ({
    ...input,
    shape: shape(input.shape),
    // Indices stay within a table that shrinks with them.
    below: input.below === undefined ? undefined : Math.max(1, ...shape([input.below])),
  }))
  return { ...op, inputs }
}

const CASES = OPS.flatMap(op => {
  const sizes = new Set(op.inputs.flatMap(({ shape }) => shape).filter(n => n > 1))
  return [...sizes].flatMap(from =>
    [0, 1].map(to => [`${op.name} with ${to} for ${from}`, resized(op, from, to)] as const),
  )
})

type Outcome = { error: string } | { values: Map<string, { shape: readonly number[]; data: ArrayLike<number> }> }

async function outcome(device: Device, op: OpCase): Promise<Outcome> {
  return scopeAsync(async s => {
    const values = new Map<string, { shape: readonly number[]; data: ArrayLike<number> }>()
    try {
      const inputs = s.run(() => deviceInputs(device, op))
      const out = s.run(() => op.run(...inputs))
      values.set('out', { shape: out.shape, data: await out.data() })
      if (!op.flat) {
        s.run(() => backward(out, device.tensor(outputGradient(op, out.shape), out.shape)))
        for (const [i, { requiresGrad, grad }] of inputs.entries()) {
          if (requiresGrad && grad) values.set(`gradient ${i}`, { shape: grad.shape, data: await grad.data() })
        }
      }
      return { values }
    } catch (error) {
      return { error: (error as Error).message.split('\n')[0] }
    }
  })
}

let exact: Device
beforeAll(async () => {
  exact = await reference({ dtype: 'f64' })
})
afterAll(() => exact.dispose())

const DEVICES = testDevices().filter(({ name }) => name !== 'reference f64' && !/avx2/.test(name))

for (const { name, open, skipped } of DEVICES) {
  describe.skipIf(skipped)(`degenerate shapes on ${name}${skipped ? ` (skipped: ${skipped})` : ''}`, () => {
    let device: Device
    beforeAll(async () => {
      device = await open()
    })
    afterAll(() => {
      expect(device.memory().liveTensors).toBe(0)
      device.dispose()
    })

    it.each(CASES)('%s', async (_, op) => {
      const [got, wanted] = [await outcome(device, op), await outcome(exact, op)]
      if ('error' in wanted) {
        expect(got).toEqual(wanted)
        // Refused at the call, by name, and not by a device that did not know what to do.
        expect(wanted.error).not.toMatch(/^(reference|cpu|program)\b/)
        return
      }
      if ('error' in got) throw new Error(got.error)
      expect([...got.values.keys()]).toEqual([...wanted.values.keys()])
      for (const [key, { shape, data }] of wanted.values) {
        const found = got.values.get(key) as { shape: readonly number[]; data: ArrayLike<number> }
        expect(found.shape, key).toEqual(shape)
        const isNaN = (values: ArrayLike<number>) => Array.from(values, Number.isNaN)
        expect(isNaN(found.data), key).toEqual(isNaN(data))
        const finite = (values: ArrayLike<number>) => Array.from(values, v => (Number.isFinite(v) ? v : 0))
        // Against 1 where all is smaller. Over one channel a norm's gradient is round-off times 1/√eps.
        const bound = /Norm/.test(op.name) ? 1e-3 : (op.tolerance ?? 1e-5)
        expect(largestError([...finite(found.data), 1], [...finite(data), 1]), key).toBeLessThan(bound)
      }
    })
  })
}
