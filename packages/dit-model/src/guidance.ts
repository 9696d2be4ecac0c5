// Classifier-free guidance (Ho & Salimans, arXiv:2207.12598) on the predictions of any model, under diffusion or flow matching: composed
// conditions, negative ones, limited to an interval of times, and rescaled.

import { add, div, greater, mul, scope, sqrt, sub, type Tensor, variance, where } from '@ditkit/core'

export interface GuideOptions {
  /**
   * φ of Lin et al. (arXiv:2305.08891, section 3.4), 0 (default) to 1: moves the standard deviation of each guided sample, over all
   * but the first axis, that far back to that of its most conditioned prediction. Large scales overexpose without; they use 0.7.
   */
  rescale?: number
}

/**
 * The guided prediction b₀ + Σ sᵢ·(bᵢ − bᵢ₋₁) of branches b₀, b₁ … [B, …], each knowing more of the condition than the one before
 * (Brooks et al., InstructPix2Pix, arXiv:2211.09800, equation 3): `guide([u, c], s)` is u + s·(c − u), and
 * `guide([u, scene, sceneAndText], [2, 4])` has a scale for the scene and one for the text. For a negative prompt u is the prediction
 * under that prompt. The branches may be noise, data, v or velocity, as long as all are the same.
 * @throws RangeError unless there is one scale fewer than branches, shapes agree, and rescale lies in 0 … 1.
 */
export function guide(
  branches: readonly Tensor[],
  scales: number | readonly number[],
  options: GuideOptions = {},
): Tensor {
  const list = checkedScales(branches.length, scales, options)
  const wrong = branches.find(branch => branch.shape.join() !== branches[0].shape.join())
  if (wrong) {
    throw new RangeError(
      `guide: branches of shapes [${branches[0].shape.join(', ')}] and [${wrong.shape.join(', ')}] (expected the same)`,
    )
  }
  const { rescale = 0 } = options
  return scope(() => {
    const guided = list.reduce((sum, s, i) => add(sum, mul(sub(branches[i + 1], branches[i]), s)), branches[0])
    return rescale === 0 ? guided : rescaled(guided, branches[branches.length - 1], rescale)
  }, 'guide')
}

export interface GuidedOptions extends GuideOptions {
  /** One for each branch after the first; 1 is no guidance. */
  scales: number | readonly number[]
  /** Guides only at times in [from, to], in the units that the model is told; default everywhere. */
  interval?: readonly [from: number, to: number]
}

/**
 * A model for a sampler out of a model's branches, from the least to the most conditioned, as `guide` takes them. A branch whose weight is
 * 0 is not evaluated: at scale 1 and outside the interval only the last one runs (Kynkäänniemi et al., arXiv:2404.07724: guidance at high
 * noise costs variety, at low noise it is of no use).
 */
export function guided<Times extends number | readonly number[]>(
  branches: readonly ((x: Tensor, t: Times) => Tensor)[],
  options: GuidedOptions,
): (x: Tensor, t: Times) => Tensor {
  const { interval, rescale = 0 } = options
  const scales = checkedScales(branches.length, options.scales, options)
  const last = branches.length - 1
  return (x, t) => {
    const within = scales.map(scale => limitedScale(scale, interval, commonTime(t)))
    // Σ weightᵢ·bᵢ is the same sum; a chain may skip a branch that has none.
    const weight = (i: number) => (i === 0 ? 1 : within[i - 1]) - (i === last ? 0 : within[i])
    const reference = rescale > 0 && within.some(scale => scale !== 1) ? last : -1
    const used = branches.map((_, i) => i).filter(i => weight(i) !== 0 || i === reference)
    if (used.length === 1) return branches[used[0]](x, t)
    return scope(() => {
      const outputs = used.map(i => branches[i](x, t))
      const between = used.slice(1).map((_, n) => within[used[n]])
      return guide(outputs, between, { rescale })
    }, 'guided')
  }
}

/** `scale` at times in [from, to], elsewhere 1, which is no guidance. */
export function limitedScale(scale: number, interval: readonly [number, number] | undefined, t: number): number {
  if (!interval) return scale
  const [from, to] = interval
  if (!(from <= to)) throw new RangeError(`guidance: interval is [${from}, ${to}] (expected from ≤ to)`)
  return t >= from && t <= to ? scale : 1
}

/** `guided` moved by φ to the deviation of `reference`, sample by sample. */
function rescaled(guided: Tensor, reference: Tensor, phi: number): Tensor {
  const axes = guided.shape.slice(1).map((_, i) => i + 1)
  const deviation = (x: Tensor) => sqrt(variance(x, axes, { keepDims: true, correction: 0 }))
  const own = deviation(guided)
  const spread = greater(own, 0)
  // A sample without any deviation, such as the zeros of a fresh model, stays as it is.
  const ratio = where(spread, div(deviation(reference), where(spread, own, 1)), 1)
  return mul(guided, add(mul(ratio, phi), 1 - phi))
}

function checkedScales(branches: number, scales: number | readonly number[], { rescale = 0 }: GuideOptions) {
  const list = typeof scales === 'number' ? [scales] : scales
  if (branches < 2 || list.length !== branches - 1) {
    throw new RangeError(
      `guide: ${list.length} scales for ${branches} branches (expected at least two branches, and a scale for each after the first)`,
    )
  }
  const wrong = list.find(scale => !Number.isFinite(scale))
  if (wrong !== undefined) throw new RangeError(`guide: a scale is ${wrong} (expected a finite number)`)
  if (!(rescale >= 0 && rescale <= 1)) throw new RangeError(`guide: rescale is ${rescale} (expected 0 to 1)`)
  return list
}

/** The time of a batch: samplers step all samples together. */
function commonTime(t: number | readonly number[]): number {
  if (typeof t === 'number') return t
  if (t.some(time => time !== t[0]))
    throw new RangeError(`guided: the samples of a batch are at different times (${t.join(', ')}); guide them apart`)
  return t[0]
}
