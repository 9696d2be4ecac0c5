// What the decoder's cross-attention adds for where a token is: each query says for each modality how much it wants what lies around its
// own position there, from −1 to 1 (an adaptive query router), times a scale that is learned.

import {
  type AttentionOptions,
  abs,
  add,
  cast,
  concat,
  type Device,
  exp,
  expand,
  floor,
  lessEqual,
  linear,
  mul,
  neg,
  type RngKey,
  relu,
  reshape,
  sigmoid,
  slice,
  square,
  sub,
  type Tensor,
  tanh,
  unsqueeze,
  where,
} from '@ditkit/core'
import { buffer, LayerNorm, Linear, Module, parameter, Sequential, zeros } from '@ditkit/nn'
import { type CompleteBiasShape, type CompleteCrossModalConfig, SCALE_RANGE } from './cross-modal-config'
import { type GridGaussian, gridGaussian } from './grid-gaussian'

/** All modality weights are 0.5 before training: they and the scale then have gradients from the first step on. */
const FIRST_LOGIT = Math.atanh(0.5)

/** Where queries are in the grids of a modality: one grid of LiDAR, or one for each camera. */
export interface QueryPositions {
  /** [B, Q, n, 2]: x and y in 0 … 1 across each grid. */
  readonly at: Tensor
  /** bool [B, Q, n, 1]: whether it is there at all. Default: it is. */
  readonly visible?: Tensor
}

export interface GeneratedBias {
  /** For attention: [B, 1, Q, N], or factors [B, Q, 1, R] and [1, N, 1, R]; the same for all heads. */
  readonly options: Pick<AttentionOptions, 'bias' | 'factoredBias'>
  /** [1], within 0.5 … 5. */
  readonly scale: Tensor
  /** [B, Q, modalities] in −1 … 1, LiDAR first. */
  readonly weights: Tensor
}

/** A shape as one modality has it. */
type GridShape = Exclude<CompleteBiasShape, { type: 'gaussian' }> | { type: 'gaussian'; sigma: number }

/** The grids of one modality, and their factors where there are any. */
class GridBias extends Module {
  /** [width] and [height]: the centres of columns and rows, in cells. */
  private readonly centers: readonly Tensor[]
  /** [R, width] and [R, height]. */
  private readonly projections: readonly Tensor[]

  constructor(
    device: Device,
    private readonly grid: readonly [height: number, width: number],
    private readonly shape: GridShape,
    readonly gaussian: GridGaussian | undefined,
  ) {
    super()
    const constants = (values: Float64Array, sizes: number[]) =>
      buffer(device.tensor(values, sizes), { persistent: false })
    const [height, width] = grid
    this.centers = [width, height].map(n =>
      constants(
        Float64Array.from({ length: n }, (_, i) => i + 0.5),
        [n],
      ),
    )
    this.projections = gaussian
      ? [constants(gaussian.x, [gaussian.rank, width]), constants(gaussian.y, [gaussian.rank, height])]
      : []
  }

  /** How near the columns (axis 0) or rows (axis 1) are to the queries: [B, Q, n, width or height]. */
  private profile(at: Tensor, axis: 0 | 1): Tensor {
    const cells = this.grid[1 - axis]
    const x = mul(slice(at, 3, axis, axis + 1), cells)
    if (this.shape.type === 'gaussian') {
      const sigma = this.shape.sigma * cells
      return exp(mul(neg(square(sub(x, this.centers[axis]))), 1 / (2 * sigma * sigma)))
    }
    const distance = abs(sub(add(floor(x), 0.5), this.centers[axis]))
    return cast(lessEqual(distance, (this.shape.cells - 1) / 2), x.dtype)
  }

  /** Heights [B, Q, n, 1] at the queries' positions → [B, Q, n·h·w]. */
  dense(at: Tensor, heights: Tensor): Tensor {
    const window = mul(unsqueeze(this.profile(at, 1), 4), unsqueeze(mul(this.profile(at, 0), heights), 3))
    return reshape(window, [...at.shape.slice(0, 2), -1])
  }

  /** The same as factors of the queries, [B, Q, n·R]. */
  factors(at: Tensor, heights: Tensor): Tensor {
    const [x, y] = this.projections
    const both = mul(linear(mul(this.profile(at, 0), heights), x), linear(this.profile(at, 1), y))
    return reshape(both, [...at.shape.slice(0, 2), -1])
  }
}

/**
 * The bias of all layers: scale · weight(query, modality) · shape(token, position of the query in its grid). With bias 'factored' nothing of size
 * Q × N is made.
 */
export class AttentionBiasGenerator extends Module {
  readonly router: Sequential
  /**
   * What the router says is divided by C, as the output of a network in μP (Yang et al. 2022, arXiv:2203.03466): its last layer's weights move as one, and
   * Adam, whose steps do not shrink with the gradient, would else turn a modality off on the noise of the first steps, where the tanh keeps it.
   */
  private readonly pace: number
  /** [1]; the scale is 0.5 + 4.5·sigmoid of it, so that no step leads out of its range and none loses its gradient. */
  readonly scale_logit: Tensor
  /** Of the factors; 0 where the bias is dense. */
  readonly rank: number
  /** The largest error of the factors, in units of scale·weight; 0 where the bias is dense. */
  readonly error: number
  private readonly grids: readonly GridBias[]
  /** [1, N, 1, R] */
  private readonly cells: Tensor | undefined

  /** @throws RangeError where a Gaussian has no factors of a rank that pays. */
  constructor(device: Device, key: RngKey, config: CompleteCrossModalConfig) {
    super()
    const { hiddenSize: hidden, lidar, cameras, bias, biasShape: shape, biasScale } = config
    const [first, second] = key.split(2)
    const modalities = [
      lidar && { name: 'lidar' as const, count: 1, grid: lidar.grid },
      cameras && { name: 'cameras' as const, count: cameras.count, grid: cameras.grid },
    ].filter(modality => modality !== undefined)
    this.grids = modalities.map(({ name, grid }) => {
      if (shape.type === 'window') return new GridBias(device, grid, shape, undefined)
      const sigma = shape.sigma[name]
      const gaussian = bias === 'factored' ? gridGaussian(grid, sigma, shape.tolerance) : undefined
      return new GridBias(device, grid, { type: 'gaussian', sigma }, gaussian)
    })
    const gaussians = this.grids.flatMap(({ gaussian }, i) =>
      gaussian ? Array.from({ length: modalities[i].count }, () => gaussian) : [],
    )
    this.rank = gaussians.reduce((total, { rank }) => total + rank, 0)
    this.error = gaussians.reduce((most, { error }) => Math.max(most, error), 0)
    this.cells = this.rank > 0 ? buffer(cellFactors(device, gaussians, this.rank), { persistent: false }) : undefined
    const seen = (1 + modalities.length) * hidden
    this.pace = 1 / hidden
    this.router = new Sequential(
      new LayerNorm(device, seen),
      new Linear(device, first, seen, hidden),
      relu,
      new Linear(device, second, hidden, modalities.length, { init: zeros, biasInit: zeros }),
    )
    const { low, high } = SCALE_RANGE
    const logit = device.full([1], Math.log((biasScale.init - low) / (high - biasScale.init)))
    this.scale_logit = biasScale.learnable ? parameter(logit) : buffer(logit)
  }

  /** Of queries with embedded positions [B, Q, C] that are at `positions`, in scenes whose modalities have means `summaries`, [B, C] each. */
  forward(position: Tensor, summaries: readonly Tensor[], positions: readonly QueryPositions[]): GeneratedBias {
    const { low, high } = SCALE_RANGE
    const scale = add(mul(sigmoid(this.scale_logit), high - low), low)
    const seen = summaries.map(summary => expand(unsqueeze(summary, 1), position.shape))
    const weights = tanh(add(mul(this.router.forward(concat([position, ...seen], 2)), this.pace), FIRST_LOGIT))
    const parts = this.grids.map((grid, i) => {
      const { at, visible } = positions[i]
      const height = unsqueeze(mul(slice(weights, 2, i, i + 1), scale), 3)
      const heights = visible ? where(visible, expand(height, visible.shape), 0) : height
      return this.cells ? grid.factors(at, heights) : grid.dense(at, heights)
    })
    const all = concat(parts, 2)
    if (!this.cells) return { options: { bias: unsqueeze(all, 1) }, scale, weights }
    return { options: { factoredBias: { query: unsqueeze(all, 2), key: this.cells } }, scale, weights }
  }
}

/** Each grid's cells have factors of their own, which are 0 for the others': [1, N, 1, R]. */
function cellFactors(device: Device, gaussians: readonly GridGaussian[], rank: number): Tensor {
  const cells = gaussians.reduce((total, each) => total + each.cells.length / each.rank, 0)
  const table = new Float64Array(cells * rank)
  let [row, column] = [0, 0]
  for (const gaussian of gaussians) {
    for (let i = 0; i < gaussian.cells.length; i += gaussian.rank, row++)
      table.set(gaussian.cells.subarray(i, i + gaussian.rank), row * rank + column)
    column += gaussian.rank
  }
  return device.tensor(table, [1, cells, 1, rank])
}
