// What is measured: ditkit's side of each case, and the same problem in words that a peer understands.

import { attention, backward, type Device, linear, mseLoss, noGrad, normal, rngKey, scope } from '@ditkit/core'
import { DiT, ditPreset } from '@ditkit/dit-model'
import { AdamW } from '@ditkit/nn'
import type { Subject } from './subject'

export interface Case {
  readonly title: string
  /** For the peer; `case` names it. */
  readonly problem: Record<string, number | boolean | string>
  /** Floating-point operations of one run, for a rate; undefined where none is customary. */
  readonly flops?: number
  subject(device: Device): Subject
}

export function casesOf(what: 'step' | 'gemm' | 'attention'): Case[] {
  if (what === 'step') return [ditStep()]
  if (what === 'gemm') return GEMM_SHAPES.map(gemm)
  return ATTENTION_SHAPES.flatMap(shape => [attentionCase(shape, false), attentionCase(shape, true)])
}

/** One full AdamW step of DiT-S: 12 blocks, 8 images of 256 tokens. */
function ditStep(): Case {
  const [batch, size, patch, channels, classes] = [8, 32, 2, 4, 1000]
  const config = ditPreset('DiT-S/2', { learnSigma: false, classDropout: 0.1 })
  return {
    title: 'DiT-S, 12 blocks, batch 8 x 256 tokens, one AdamW step with clipping, f32',
    problem: {
      case: 'step',
      batch,
      size,
      patch,
      channels,
      classes,
      width: config.hiddenSize,
      depth: config.depth,
      heads: config.numHeads,
    },
    subject(device) {
      const model = new DiT(device, rngKey(0), config)
      const optimizer = new AdamW(model, { maxGradNorm: 1 })
      const [xKey, targetKey, labelKey] = rngKey(1).split(3)
      const x = normal(device, [batch, channels, size, size], xKey)
      const target = normal(device, [batch, channels, size, size], targetKey)
      const t = Array.from({ length: batch }, (_, i) => 100 * i + 37.5)
      const labels = Array.from({ length: batch }, (_, i) => 111 * i)
      return timed(device, () => {
        backward(mseLoss(model.forward(x, t, labels, { key: labelKey }), target))
        optimizer.step({ lr: 1e-4 })
        optimizer.zeroGrad()
      })
    },
  }
}

/** The products of a DiT-S block over 8 x 256 tokens, and of a wider model. */
const GEMM_SHAPES = [
  { m: 2048, n: 1152, k: 384 },
  { m: 2048, n: 1536, k: 384 },
  { m: 2048, n: 384, k: 1536 },
  { m: 6272, n: 512, k: 128 },
  { m: 2048, n: 3456, k: 1152 },
]

function gemm({ m, n, k }: { m: number; n: number; k: number }): Case {
  const repeat = Math.max(1, Math.round(4e9 / (2 * m * n * k)))
  return {
    title: `linear ${m} x ${k} to ${n}, f32`,
    problem: { case: 'gemm', m, n, k, repeat },
    flops: 2 * m * n * k * repeat,
    subject(device) {
      const [a, b, c] = rngKey(0).split(3)
      const x = normal(device, [m, k], a)
      const weight = normal(device, [n, k], b)
      const bias = normal(device, [n], c)
      return timed(device, () => {
        for (let i = 0; i < repeat; i++) scope(() => void noGrad(() => linear(x, weight, bias)))
      })
    },
  }
}

const ATTENTION_SHAPES = [
  { batch: 8, queries: 256, keys: 256, heads: 6, dim: 64, bias: false, repeat: 10 },
  { batch: 128, queries: 49, keys: 49, heads: 4, dim: 32, bias: false, repeat: 10 },
  { batch: 1, queries: 900, keys: 8192, heads: 8, dim: 32, bias: true, repeat: 1 },
]

function attentionCase(shape: (typeof ATTENTION_SHAPES)[number], withGradients: boolean): Case {
  const { batch, queries, keys, heads, dim, bias, repeat } = shape
  const products = withGradients ? 7 : 2
  return {
    title: `attention ${batch} x ${heads} heads, ${queries} queries, ${keys} keys, D ${dim}${bias ? ', dense bias' : ''}, ${withGradients ? 'forward + backward' : 'forward'}`,
    problem: { case: 'attention', ...shape, backward: withGradients },
    flops: 2 * products * batch * heads * queries * keys * dim * repeat,
    subject(device) {
      const [a, b, c, d, e] = rngKey(0).split(5)
      const q = normal(device, [batch, queries, heads, dim], a)
      const k = normal(device, [batch, keys, heads, dim], b)
      const v = normal(device, [batch, keys, heads, dim], c)
      const options = bias ? { bias: normal(device, [1, 1, queries, keys], d) } : {}
      const upstream = normal(device, [batch, queries, heads, dim], e)
      for (const operand of [q, k, v]) operand.requiresGrad = withGradients
      return timed(device, () => {
        for (let i = 0; i < repeat; i++) {
          scope(() => {
            const out = attention(q, k, v, options)
            if (withGradients) backward(out, upstream)
          })
          for (const operand of [q, k, v]) {
            operand.grad?.dispose()
            operand.grad = undefined
          }
        }
      })
    },
  }
}

function timed(device: Device, work: () => void): Subject {
  return {
    name: 'ditkit',
    async run() {
      const start = performance.now()
      scope(work)
      await device.sync()
      return (performance.now() - start) / 1000
    },
    close: async () => {},
  }
}
