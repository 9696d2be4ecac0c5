// The rules of the attention contract, on every kernel of every device.

import {
  attention,
  attentionDropoutLanes,
  backward,
  type Device,
  hostNormal,
  mul,
  rngKey,
  scopeAsync,
  sum,
  type Tensor,
} from '@ditkit/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AttentionCase, type AttentionResult, runCase, type Tamper } from '../src/attention-case'
import { attentionSubjects } from '../src/attention-subjects'

const BASE: AttentionCase = { seed: 3, batch: 2, queries: 45, keys: 52, heads: 2, dim: 8, valueDim: 8 }
const FULL = [true, true, true, true] as const

function expectSameBits(actual: AttentionResult, expected: AttentionResult, names = [...expected.keys()]): void {
  for (const name of names) {
    const [got, wanted] = [actual.get(name), expected.get(name)] as ArrayLike<number>[]
    expect(wanted.length, name).toBeGreaterThan(0)
    // Compared as numbers: 0 and −0 are the same value.
    for (let i = 0; i < wanted.length; i++) {
      if (got[i] !== wanted[i]) expect.fail(`${name}[${i}] is ${got[i]}, expected ${wanted[i]}`)
    }
  }
}

/** Puts `value` at the tokens of an operand [B, N, H, D] for which `excluded` holds. */
function fillTokens(
  values: Float32Array,
  shape: readonly number[],
  excluded: (b: number, n: number) => boolean,
  value: () => number,
) {
  const [, n, h, d] = shape
  for (let i = 0; i < values.length; i++) {
    const token = Math.floor(i / (h * d))
    if (excluded(Math.floor(token / n), token % n)) values[i] = value()
  }
}

const BAD = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]

/** A number that depends on `scale` through the bias alone. */
function biasedLoss(device: Device, scale: Tensor, kernel: string): Tensor {
  const draw = (seed: number, shape: number[]) =>
    device.tensor(
      hostNormal(
        rngKey(seed),
        shape.reduce((a, b) => a * b),
      ),
      shape,
    )
  const bias = mul(draw(1, [1, 2, 9, 30]), scale)
  const out = attention(draw(2, [1, 9, 2, 4]), draw(3, [1, 30, 2, 4]), draw(4, [1, 30, 2, 4]), { bias, kernel })
  return sum(mul(out, draw(5, [1, 9, 2, 4])))
}

for (const { device: subject, kernel } of attentionSubjects()) {
  const { name, open, skipped } = subject
  describe.skipIf(skipped)(`rules of attention: ${kernel} on ${name}${skipped ? ` (skipped: ${skipped})` : ''}`, () => {
    let device: Device
    beforeAll(async () => {
      device = await open()
    })
    afterAll(() => {
      expect(device.memory().liveTensors, 'live tensors').toBe(0)
      device.dispose()
    })
    const run = (c: AttentionCase, tamper?: Tamper) => runCase(device, c, kernel, tamper)

    it.each([1, 7, 45])('NaN and Infinity in padding have no influence, bit for bit (%i queries)', async queries => {
      const queryLengths = [Math.floor(queries / 2), queries]
      const keyLengths = [52, 20]
      const c: AttentionCase = { ...BASE, queries, bias: FULL, factors: { rank: 2, perSample: true, perHead: true } }
      let at = 0
      const bad = () => BAD[at++ % BAD.length]
      const tamper =
        (fill: () => number): Tamper =>
        (operand, values) => {
          const query = (b: number, n: number) => n >= queryLengths[b]
          const key = (b: number, n: number) => n >= keyLengths[b]
          if (operand === 'q' || operand === 'dOut') fillTokens(values, [2, queries, 2, 8], query, fill)
          if (operand === 'k' || operand === 'v') fillTokens(values, [2, 52, 2, 8], key, fill)
          if (operand === 'factorQuery') fillTokens(values, [2, queries, 2, 2], query, fill)
          if (operand === 'factorKey') fillTokens(values, [2, 52, 2, 2], key, fill)
          if (operand === 'bias') {
            for (let i = 0; i < values.length; i++) {
              const [j, row, b] = [i % 52, Math.floor(i / 52) % queries, Math.floor(i / (52 * queries * 2))]
              if (key(b, j) || query(b, row)) values[i] = fill()
            }
          }
        }
      const padded = { ...c, queryLengths, keyLengths }
      expectSameBits(
        await run(padded, tamper(bad)),
        await run(
          padded,
          tamper(() => 0.5),
        ),
      )
    })

    it('NaN in one sample of a packed batch does not reach another', async () => {
      const samples = { queries: [13, 20, 7], keys: [9, 25, 11] }
      const c: AttentionCase = { ...BASE, queries: 42, keys: 46, samples }
      const inside = (n: number, counts: number[]) => n >= counts[0] && n < counts[0] + counts[1]
      const spoil: Tamper = (operand, values) => {
        if (operand === 'q' || operand === 'dOut')
          fillTokens(
            values,
            [1, 42, 2, 8],
            (_, n) => inside(n, samples.queries) || n >= 40,
            () => Number.NaN,
          )
        if (operand === 'k' || operand === 'v')
          fillTokens(
            values,
            [1, 46, 2, 8],
            (_, n) => inside(n, samples.keys) || n >= 45,
            () => Number.NaN,
          )
      }
      const [spoilt, clean] = [await run(c, spoil), await run(c)]
      for (const [operand, counts] of [
        ['out', samples.queries],
        ['q', samples.queries],
        ['k', samples.keys],
        ['v', samples.keys],
      ] as const) {
        const [got, wanted] = [spoilt.get(operand), clean.get(operand)] as ArrayLike<number>[]
        for (let i = 0; i < wanted.length; i++) {
          const token = Math.floor(i / 16)
          if (!inside(token, counts)) expect(got[i], `${operand}[${i}]`).toBe(wanted[i])
        }
      }
    })

    it('finite values of excluded pairs have no influence, bit for bit', async () => {
      const huge: Tamper = (operand, values) => {
        if (operand === 'k' || operand === 'v')
          fillTokens(
            values,
            [2, 52, 2, 8],
            (_, n) => n >= 20,
            () => 3e38,
          )
      }
      // Causal: queries before key 20 see none of the changed keys, which share tiles with keys they see.
      const c: AttentionCase = { ...BASE, causal: 'top-left' }
      const [changed, plain] = [await run(c, huge), await run(c)]
      for (const operand of ['out', 'q']) {
        const [got, wanted] = [changed.get(operand), plain.get(operand)] as ArrayLike<number>[]
        for (let i = 0; i < 20 * 16; i++) expect(got[i], `${operand}[${i}]`).toBe(wanted[i])
      }
      // A bias of −∞ at all pairs of the changed keys: nothing of the result may change.
      const holes: Tamper = (operand, values) => {
        if (operand === 'bias') {
          for (let i = 0; i < values.length; i++) if (i % 52 >= 20) values[i] = Number.NEGATIVE_INFINITY
        }
      }
      const both: Tamper = (operand, values) => {
        holes(operand, values)
        huge(operand, values)
      }
      const biased = { ...BASE, bias: FULL }
      expectSameBits(await run(biased, both), await run(biased, holes))
    })

    it('a query that may attend to nothing gives output 0 and gradient 0', async () => {
      const c: AttentionCase = { ...BASE, bias: FULL, factors: { rank: 2, perSample: true, perHead: true } }
      const result = await run({ ...c, queryLengths: [10, 45], keyLengths: [52, 0] })
      for (const [operand, values] of result) {
        expect(Array.from(values).every(Number.isFinite), operand).toBe(true)
        const second = Array.from(values).slice(values.length / 2)
        expect(
          second.every(x => x === 0),
          `${operand} of the sample without keys`,
        ).toBe(true)
      }
      const rows = Array.from(result.get('out') as ArrayLike<number>).slice(10 * 16, 45 * 16)
      expect(rows.every(x => x === 0)).toBe(true)
    })

    it('no keys at all give output 0 and gradient 0', async () => {
      const result = await run({ ...BASE, keys: 0 })
      expect(Array.from(result.get('out') as ArrayLike<number>).every(x => x === 0)).toBe(true)
      expect(Array.from(result.get('q') as ArrayLike<number>).every(x => x === 0)).toBe(true)
    })

    it('dropout keeps the weights whose lane says so, scaled by the quantised keep rate', async () => {
      const [b, h, n, key] = [2, 3, 20, rngKey(77)]
      const kept = await scopeAsync(async ({ run: s }) => {
        // Equal scores and one-hot values: the output is the row of weights.
        const q = s(() => device.zeros([b, n, h, 4]))
        const eye = Float32Array.from({ length: b * n * h * n }, (_, i) => {
          const [d, token] = [i % n, Math.floor(i / (n * h)) % n]
          return Number(d === token)
        })
        const v = s(() => device.tensor(eye, [b, n, h, n]))
        const out = s(() => attention(q, q, v, { dropout: 0.3, rng: key, kernel }))
        return (await out.data()) as ArrayLike<number>
      })
      const threshold = Math.round(0.3 * 65536)
      const weight = 65536 / (65536 - threshold) / n
      for (let s = 0; s < b; s++) {
        for (let head = 0; head < h; head++) {
          for (let i = 0; i < n; i++) {
            const lanes = attentionDropoutLanes(key.low, key.high, s, head, i, n)
            for (let j = 0; j < n; j++) {
              const got = kept[((s * n + i) * h + head) * n + j]
              if (lanes[j] < threshold) expect(got).toBe(0)
              else expect(Math.abs(got / weight - 1)).toBeLessThan(1e-6)
            }
          }
        }
      }
    })

    it('scores of 1e4 lose no accuracy in backward', async () => {
      const huge: Tamper = (operand, values) => {
        if (operand === 'bias') for (let i = 0; i < values.length; i++) values[i] = 1e4
      }
      const c: AttentionCase = { ...BASE, bias: [false, false, false, false] }
      const [shifted, plain] = [await run(c, huge), await run(c, (o, v) => (o === 'bias' ? v.fill(0) : undefined))]
      for (const operand of ['out', 'q', 'k', 'v']) {
        const [got, wanted] = [shifted.get(operand), plain.get(operand)] as ArrayLike<number>[]
        const scale = Math.max(...Array.from(wanted, Math.abs))
        const error = Math.max(...Array.from(wanted, (x, i) => Math.abs(x - got[i])))
        // A score of 1e4 is rounded to 5e-4 in f32, and that is all that may be lost.
        expect(error / scale, operand).toBeLessThan(device.floatDType === 'f64' ? 1e-11 : 1e-3)
      }
    })

    it('a learnable scale on a bias gets the slope of the loss', async () => {
      const slopeOf = async (at: number) =>
        scopeAsync(async ({ run: s }) => {
          const scale = s(() => device.tensor([at], [1], { requiresGrad: true }))
          const loss = s(() => biasedLoss(device, scale, kernel))
          s(() => backward(loss))
          return { loss: await loss.item(), slope: await (scale.grad as Tensor).item() }
        })
      const h = device.floatDType === 'f64' ? 1e-5 : 1e-2
      const [low, middle, high] = [await slopeOf(0.7 - h), await slopeOf(0.7), await slopeOf(0.7 + h)]
      const estimate = (high.loss - low.loss) / (2 * h)
      expect(Math.abs(middle.slope - estimate)).toBeLessThan(
        (device.floatDType === 'f64' ? 1e-8 : 2e-3) * (1 + Math.abs(estimate)),
      )
    })
  })
}
