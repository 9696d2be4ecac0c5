// Two small MLPs that make factors from what tokens are like, so that a bias that was fitted once can be had for other tokens, too.

import { assign, type Device, mul, type RngKey, reshape, scope, sub, type Tensor } from '@ditkit/core'
import { buffer, MLP, Module } from '@ditkit/nn'
import { type FactoredBias, shown } from '../factors'

export interface NeuralFactorsOptions {
  /** Numbers per query token, and per key token. */
  readonly queryFeatures: number
  readonly keyFeatures: number
  /** R */
  readonly rank: number
  /** Default 1: one bias for all heads. */
  readonly heads?: number
  /** All heads share the key's factor; default false. */
  readonly sharedKey?: boolean
  /** Width of both MLPs; default 64. */
  readonly hidden?: number
}

/** features [B|1, L, F] → factor [B|1, L, H, R], by an MLP of standardized features. */
export class TokenFactors extends Module {
  readonly mlp: MLP
  readonly shift: Tensor
  readonly scale: Tensor
  readonly heads: number

  constructor(device: Device, key: RngKey, features: number, hidden: number, heads: number, rank: number) {
    super()
    this.heads = heads
    this.mlp = new MLP(device, key, features, hidden, { out: heads * rank })
    this.shift = buffer(device.zeros([features]))
    this.scale = buffer(device.ones([features]))
  }

  forward(features: Tensor): Tensor {
    const [width] = this.shift.shape
    if (features.rank !== 3 || features.shape[2] !== width) {
      throw new RangeError(
        `NeuralFactors: features have shape ${shown(features.shape)} (expected [B or 1, tokens, ${width}])`,
      )
    }
    const factor = this.mlp.forward(mul(sub(features, this.shift), this.scale))
    return reshape(factor, [features.shape[0], features.shape[1], this.heads, -1])
  }
}

export class NeuralFactors extends Module {
  readonly query: TokenFactors
  readonly key: TokenFactors
  /** R */
  readonly rank: number
  /** What a bias is multiplied by, so that the MLPs give numbers around 1. */
  readonly amplitude: Tensor
  /** Whether the model has seen its data; `fitFactors` sees to it. */
  standardized = false

  /** @throws RangeError for sizes that are no whole numbers above 0. */
  constructor(device: Device, key: RngKey, options: NeuralFactorsOptions) {
    super()
    const { queryFeatures, keyFeatures, rank, heads = 1, sharedKey = false, hidden = 64 } = options
    for (const [name, n] of Object.entries({ queryFeatures, keyFeatures, rank, heads, hidden })) {
      if (!Number.isInteger(n) || n < 1) {
        throw new RangeError(`NeuralFactors: ${name} is ${n} (expected a whole number above 0)`)
      }
    }
    const [first, second] = key.split(2)
    this.rank = rank
    this.query = new TokenFactors(device, first, queryFeatures, hidden, heads, rank)
    this.key = new TokenFactors(device, second, keyFeatures, hidden, sharedKey ? 1 : heads, rank)
    this.amplitude = buffer(device.ones([1]))
  }

  /** Features [B|1, Lq, F] and [B|1, Lk, G] → factors [B|1, Lq, H, R] and [B|1, Lk, H|1, R]. Gradients for weights and features. */
  forward(query: Tensor, key: Tensor): FactoredBias {
    return scope(() => ({
      query: mul(this.query.forward(query), this.amplitude),
      key: this.key.forward(key),
    }))
  }

  /** Takes mean and deviation of features, and the root mean square of a bias, as what the MLPs see as 0 and 1. */
  async standardize(query: Tensor, key: Tensor, rootMeanSquare: number): Promise<void> {
    for (const [side, features] of [
      [this.query, query],
      [this.key, key],
    ] as const) {
      const { mean, deviation } = moments(await features.data(), features.shape[2])
      const { device } = features
      scope(() => {
        assign(side.shift, device.tensor(mean, [mean.length]))
        assign(
          side.scale,
          device.tensor(
            deviation.map(x => 1 / (x || 1)),
            [mean.length],
          ),
        )
      })
    }
    this.standardized = true
    scope(() => assign(this.amplitude, this.amplitude.device.tensor([rootMeanSquare || 1], [1])))
  }
}

/** Per column of rows of `width` numbers. */
function moments(values: ArrayLike<number>, width: number): { mean: Float64Array; deviation: Float64Array } {
  const rows = values.length / width
  const [mean, squares] = [new Float64Array(width), new Float64Array(width)]
  for (let i = 0; i < values.length; i++) mean[i % width] += values[i] / rows
  for (let i = 0; i < values.length; i++) squares[i % width] += (values[i] - mean[i % width]) ** 2 / rows
  return { mean, deviation: squares.map(Math.sqrt) }
}
