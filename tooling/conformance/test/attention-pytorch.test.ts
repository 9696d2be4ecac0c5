// Attention on every kernel of every device against PyTorch's scaled_dot_product_attention in float64.

import { readFileSync } from 'node:fs'
import { parseSafetensors } from '@ditkit/checkpoint'
import { type AttentionOptions, attention, backward, type Device, scopeAsync, type Tensor } from '@ditkit/core'
import { hashNormal, hashUniform, largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attentionSubjects, oracleDevice } from '../src/attention-subjects'

const stored = await parseSafetensors(readFileSync(new URL('../fixtures/attention.safetensors', import.meta.url)))

const [B, LQ, LK, H, D, DV] = [2, 7, 9, 2, 4, 3]

type Options = (device: Device, bias: (shape: number[]) => Tensor) => AttentionOptions

function bool(name: string, shape: readonly number[], share: number): Uint8Array {
  const size = shape.reduce((a, b) => a * b)
  return Uint8Array.from(hashUniform(`attention/${name}`, size), u => Number(u < share))
}

/** The options of each case of attention_fixtures.py. */
const CASES: Record<string, Options> = {
  plain: () => ({}),
  scale: () => ({ scale: 0.3 }),
  causal: () => ({ causal: true }),
  'bottom-right': () => ({ causal: 'bottom-right' }),
  mask: device => ({ mask: device.tensor(bool('mask/mask', [B, H, LQ, LK], 0.6), [B, H, LQ, LK]) }),
  'key mask': device => ({ keyMask: device.tensor(bool('key mask/keyMask', [B, LK], 0.6), [B, LK]) }),
  'empty rows': device => {
    const mask = bool('empty rows/mask', [B, LQ, LK], 0.6).map((value, i) =>
      (Math.floor(i / LK) % LQ) % 3 === 0 ? 0 : value,
    )
    return { mask: device.tensor(mask, [B, LQ, LK]) }
  },
  'bias 1x2x7x9': (_, bias) => ({ bias: bias([1, H, LQ, LK]) }),
  'bias 2x1x7x9': (_, bias) => ({ bias: bias([B, 1, LQ, LK]) }),
  'bias 2x2x1x9': (_, bias) => ({ bias: bias([B, H, 1, LK]) }),
  'bias 1x1x1x9': (_, bias) => ({ bias: bias([1, 1, 1, LK]) }),
  'bias and mask': (device, bias) => ({
    bias: bias([1, H, LQ, LK]),
    mask: device.tensor(bool('bias and mask/mask', [B, 1, LQ, LK], 0.7), [B, 1, LQ, LK]),
  }),
}

async function evaluate(device: Device, name: string, kernel: string): Promise<Map<string, ArrayLike<number>>> {
  return scopeAsync(async ({ run }) => {
    const leaves: Record<string, Tensor> = {}
    const leaf = (operand: string, shape: readonly number[]) => {
      const data = hashNormal(`attention/${name}/${operand}`, shape)
      leaves[operand] = device.tensor(data, shape, { requiresGrad: true })
      return leaves[operand]
    }
    const out = run(() => {
      const options = CASES[name](device, shape => leaf('bias', shape))
      const [q, k, v] = [leaf('q', [B, LQ, H, D]), leaf('k', [B, LK, H, D]), leaf('v', [B, LK, H, DV])]
      const result = attention(q, k, v, { ...options, kernel })
      backward(result, device.tensor(hashNormal(`attention/${name}/dOut`, [B, LQ, H, DV]), [B, LQ, H, DV]))
      return result
    })
    const results = new Map([['out', (await out.data()) as ArrayLike<number>]])
    for (const [operand, tensor] of Object.entries(leaves)) {
      results.set(operand, (await (tensor.grad as Tensor).data()) as ArrayLike<number>)
    }
    return results
  })
}

const oracle = { kernel: 'standard', device: { name: 'reference f64', open: oracleDevice, skipped: undefined } }

for (const { device: subject, kernel } of [oracle, ...attentionSubjects()]) {
  const { name, open, skipped } = subject
  const title = `${kernel} on ${name} agrees with PyTorch${skipped ? ` (skipped: ${skipped})` : ''}`
  describe.skipIf(skipped)(title, () => {
    let device: Device
    beforeAll(async () => {
      device = await open()
    })
    afterAll(() => device.dispose())

    it.each(Object.keys(CASES))('%s', async case_ => {
      const bound = device.floatDType === 'f64' ? 1e-13 : 2e-6
      for (const [operand, values] of await evaluate(device, case_, kernel)) {
        const record = stored.get(`${case_}/${operand}`)
        if (!record)
          throw new Error(`no PyTorch result for '${case_}/${operand}'; run tooling/oracle/attention_fixtures.py`)
        expect(largestError(values, record.data as Float64Array), operand).toBeLessThan(bound)
      }
    })
  })
}
