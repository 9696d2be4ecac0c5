// Views in place of whole tensors: every op on slices of slices of its inputs, differentiated with a gradient that is a view itself or
// repeats one number by stride 0, gives what it gives for row-major copies of them.

import { backward, type Device, expand, pad, scopeAsync, slice, type Tensor } from '@ditkit/core'
import { largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { testDevices } from '../src/devices'
import { deviceInputs, outputGradient } from '../src/op-inputs'
import { OPS, type OpCase } from '../src/ops'

/** The values of x as a slice along every axis of something larger. */
function embedded(x: Tensor): Tensor {
  // Axes of even number begin at 0, so that strides alone and not the offset tell them from the whole.
  const widths = x.shape.map((_, axis) => [axis % 2, 1 + (axis % 3)] as const)
  return x.shape.reduce((view, n, axis) => slice(view, axis, widths[axis][0], widths[axis][0] + n), pad(x, widths, 7))
}

type Forms = {
  input: (x: Tensor) => Tensor
  gradient: (device: Device, op: OpCase, shape: readonly number[]) => Tensor
}

const given = (device: Device, op: OpCase, shape: readonly number[]) =>
  device.tensor(outputGradient(op, shape), [...shape])
const repeated = (device: Device, shape: readonly number[]) => expand(device.full([], 0.75), [...shape])

const PAIRS: Record<string, [Forms, Forms]> = {
  'slices of slices': [
    { input: x => x, gradient: given },
    { input: embedded, gradient: (...args) => embedded(given(...args)) },
  ],
  'a gradient of stride 0': [
    { input: x => x, gradient: (device, _, shape) => device.full(shape, 0.75) },
    { input: x => x, gradient: (device, _, shape) => repeated(device, shape) },
  ],
}

async function results(device: Device, op: OpCase, { input, gradient }: Forms): Promise<[string, ArrayLike<number>][]> {
  return scopeAsync(async s => {
    const leaves = s.run(() => deviceInputs(device, op))
    const out = s.run(() => op.run(...leaves.map(x => (x.rank === 0 ? x : input(x)))))
    if (!op.flat) s.run(() => backward(out, gradient(device, op, out.shape)))
    const found: [string, ArrayLike<number>][] = [['out', await out.data()]]
    for (const [i, { grad }] of leaves.entries()) if (grad) found.push([`gradient ${i}`, await grad.data()])
    return found
  })
}

const DEVICES = testDevices().filter(({ name }) => !/f64|queued|avx2/.test(name))

for (const { name, open, skipped } of DEVICES) {
  for (const [what, [whole, view]] of Object.entries(PAIRS)) {
    describe.skipIf(skipped)(`${what} on ${name}${skipped ? ` (skipped: ${skipped})` : ''}`, () => {
      let device: Device
      beforeAll(async () => {
        device = await open()
      })
      afterAll(() => {
        expect(device.memory().liveTensors).toBe(0)
        device.dispose()
      })

      it.each(OPS.map(op => [op.name, op] as const))('%s', async (_, op) => {
        const wanted = await results(device, op, whole)
        const got = await results(device, op, view)
        expect(got.map(([key]) => key)).toEqual(wanted.map(([key]) => key))
        for (const [i, [key, values]] of wanted.entries()) {
          expect(largestError(got[i][1], values), key).toBeLessThan(op.tolerance ?? 3e-6)
        }
      })
    })
  }
}
