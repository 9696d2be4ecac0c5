// Every op on every device: results and gradients against PyTorch's float64 results, and against finite differences.

import { readFileSync } from 'node:fs'
import { parseSafetensors } from '@ditkit/checkpoint'
import { backward, type Device, mul, noGrad, reference, scopeAsync, sum, type Tensor } from '@ditkit/core'
import { largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { testDevices } from '../src/devices'
import { deviceInputs, hostInput, outputGradient } from '../src/op-inputs'
import { OPS, type OpCase } from '../src/ops'

const stored = await parseSafetensors(readFileSync(new URL('../fixtures/ops.safetensors', import.meta.url)))

function expected(name: string): ArrayLike<number> {
  const record = stored.get(name)
  if (!record) throw new Error(`no PyTorch result for '${name}'; run the oracle script (tooling/conformance/README.md)`)
  return record.data as Float32Array
}

/** Result and gradients of a case, read back. */
async function evaluate(device: Device, op: OpCase): Promise<Map<string, ArrayLike<number>>> {
  return scopeAsync(async s => {
    const inputs = s.run(() => deviceInputs(device, op))
    const out = s.run(() => op.run(...inputs))
    const results = new Map<string, ArrayLike<number>>([[op.name, await out.data()]])
    if (!op.flat) {
      s.run(() => backward(out, device.tensor(outputGradient(op, out.shape), out.shape)))
      for (const [i, input] of inputs.entries()) {
        if (input.requiresGrad) results.set(`${op.name}.grad.${i}`, await (input.grad as Tensor).data())
      }
    }
    return results
  })
}

for (const { name, open, skipped } of testDevices()) {
  describe.skipIf(skipped)(`ops on ${name}${skipped ? ` (skipped: ${skipped})` : ''}`, () => {
    let device: Device
    beforeAll(async () => {
      device = await open()
    })
    afterAll(() => {
      expect(device.memory().liveTensors, 'live tensors').toBe(0)
      expect(device.memory().liveBytes, 'live bytes').toBe(0)
      device.dispose()
    })

    it.each(OPS.map(op => [op.name, op] as const))('%s agrees with PyTorch in float64', async (_, op) => {
      const bound = device.floatDType === 'f64' ? 2e-7 : (op.tolerance ?? 3e-6)
      for (const [result, values] of await evaluate(device, op)) {
        expect(largestError(values, expected(result)), result).toBeLessThan(bound)
      }
    })
  })
}

describe('gradients agree with finite differences in float64', () => {
  let device: Device
  beforeAll(async () => {
    device = await reference({ dtype: 'f64' })
  })

  const smooth = OPS.filter(op => !op.flat && !op.kinks)
  it.each(smooth.map(op => [op.name, op] as const))('%s', async (_, op) => {
    const gradients = await evaluate(device, op)
    await scopeAsync(async s => {
      const inputs = s.run(() => deviceInputs(device, op))
      const loss = (values: Tensor[]) =>
        s.run(() =>
          noGrad(() => {
            const out = op.run(...values)
            return sum(mul(out, device.tensor(outputGradient(op, out.shape), out.shape)))
          }),
        )
      for (const [i, input] of inputs.entries()) {
        if (!input.requiresGrad) continue
        const got = gradients.get(`${op.name}.grad.${i}`) as ArrayLike<number>
        const host = Float64Array.from(hostInput(`${op.name}/${i}`, op.inputs[i]))
        const h = 1e-6
        for (const e of new Set([0, host.length >> 1, host.length - 1])) {
          const moved = (delta: number) => {
            const copy = host.slice()
            copy[e] += delta
            return loss(
              inputs.map((other, j) => (j === i ? s.run(() => device.tensor(copy, input.shape)) : other)),
            ).item()
          }
          const slope = ((await moved(h)) - (await moved(-h))) / (2 * h)
          expect(Math.abs(got[e] - slope), `input ${i}, element ${e}: ${got[e]} against ${slope}`).toBeLessThan(
            2e-5 * Math.max(1, Math.abs(slope)),
          )
        }
      }
    })
  })
})
