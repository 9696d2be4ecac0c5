// A decoder that finds objects in what LiDAR and cameras see, by queries with 3-D reference points: PETR (Liu et al. 2022,
// arXiv:2203.05625) and CMT (Yan et al. 2023, arXiv:2301.01283).

import {
  add,
  cast,
  clamp,
  concat,
  type Device,
  expand,
  log,
  mean,
  mul,
  permute,
  type RngKey,
  relu,
  reshape,
  scope,
  sigmoid,
  slice,
  stack,
  sub,
  sum,
  type Tensor,
  unsqueeze,
} from '@ditkit/core'
import {
  buffer,
  constant,
  type Initializer,
  LayerNorm,
  Linear,
  MLP,
  Module,
  parameter,
  Sequential,
  uniformInit,
  zeros,
} from '@ditkit/nn'
import { checkMask } from '../encoders/check-points'
import { clearPadding, maskedMean } from '../masked'
import { AttentionBiasGenerator, type GeneratedBias, type QueryPositions } from './attention-bias-generator'
import { pointsAlongRays, project } from './camera-geometry'
import { type CompleteCrossModalConfig, type CrossModalConfig, completeCrossModalConfig } from './cross-modal-config'
import { CrossModalLayer, type DecoderMemory, recomputedLayer } from './cross-modal-layer'
import { cellCenters, positionFeatures, waveNumbers } from './position-features'

export interface CrossModalInputs {
  /** [B, h·w, channels] of the bird's-eye view: row-major, x along a row, y from row to row. */
  lidar?: Tensor
  /** bool [B, h·w]: which cells take part. Default: all. */
  lidarMask?: Tensor
  /** [B, n·h·w, channels]: camera by camera, row-major. */
  cameras?: Tensor
  /** bool [B, n·h·w]: false for the tokens of a camera that failed. Default: all take part. */
  cameraMask?: Tensor
  /** [B, n, 3, 4], see `normalizedProjection`: from the scene box, 0 … 1 along each axis, to (u·d, v·d, d). */
  cameraProjection?: Tensor
  /** Reference points [B, D, 3] of denoising queries, which stand before the learned ones. */
  dnQueries?: Tensor
  /** bool [D + Q, D + Q] or [B, D + Q, D + Q], see `denoisingMask`: true where a query sees another. Needed with dnQueries. */
  dnMask?: Tensor
}

export interface CrossModalOutputs {
  /** [layers, B, D + Q, classes], before the sigmoid. */
  logits: Tensor
  /** [layers, B, D + Q, boxDim]: the centre in 0 … 1 of the scene box, then what the layer says, as it is. */
  boxes: Tensor
  /** The scale of the bias, [1]; absent without one. */
  biasScale?: Tensor
  /** What each query makes of each modality, [B, D + Q, modalities] in −1 … 1, LiDAR first; absent without a bias. */
  modalityWeights?: Tensor
}

/** A modality: its tokens [B, N, C] and their positions, and what it says of the queries. */
interface View extends QueryPositions {
  readonly tokens: Tensor
  readonly mask: Tensor | undefined
  /** [B or absent, N, C] */
  readonly position: Tensor
  /** [B, Q, C]: where the queries are, embedded. */
  readonly query: Tensor
}

/** Of class logits before training: every class has a probability of 0.1. */
const CLASS_BIAS = -2.19
/** Keeps the inverse of the sigmoid finite. */
const EDGE = 1e-5

/**
 * Learned queries, each with a reference point in the scene box, look at the tokens of LiDAR and cameras through `layers` decoder layers.
 * Queries and tokens are told where they are by the same two MLPs: one of the sines and cosines of (x, y), one of the points along
 * the rays of a pixel, or of the pixels a reference point is seen in. Every layer gives logits and boxes. As in CMT, reference
 * points are learned but not refined from layer to layer: each layer says its centre as an offset from them, before a sigmoid.
 */
export class CrossModalDecoder extends Module {
  readonly reference_points: Tensor
  readonly lidar_projection: Linear | undefined
  readonly camera_projection: Linear | undefined
  readonly bev_embedding: MLP | undefined
  readonly ray_embedding: MLP | undefined
  readonly bias_generator: AttentionBiasGenerator | undefined
  readonly layers: readonly CrossModalLayer[]
  readonly norm: LayerNorm
  readonly class_heads: readonly Sequential[]
  readonly box_heads: readonly Sequential[]
  readonly config: CompleteCrossModalConfig
  private readonly waves: Tensor
  private readonly cells: Tensor | undefined
  private readonly pixels: Tensor | undefined
  private readonly depths: Tensor | undefined

  /** @throws RangeError for a config that does not hold together, as `completeCrossModalConfig`. */
  constructor(device: Device, key: RngKey, config: CrossModalConfig) {
    super()
    const complete = completeCrossModalConfig(config)
    const { hiddenSize: hidden, layers, queries, classes, boxDim, lidar, cameras, bias } = complete
    this.config = complete
    const [points, lidarKey, cameraKey, bev, ray, biasKey, layerKey, classKey, boxKey] = key.split(9)
    const constantly = (tensor: Tensor) => buffer(tensor, { persistent: false })
    this.reference_points = parameter(scope(() => add(uniformInit(0.5)(device, [queries, 3], points), 0.5)))
    this.waves = constantly(device.tensor(waveNumbers(hidden), [hidden / 2]))
    if (lidar) {
      this.lidar_projection = new Linear(device, lidarKey, lidar.channels, hidden)
      this.bev_embedding = new MLP(device, bev, 2 * hidden, hidden, { out: hidden, activation: 'relu' })
      this.cells = constantly(cellCenters(device, lidar.grid))
    }
    if (cameras) {
      const { count, from, to } = cameras.depths
      const depths = Float64Array.from({ length: count }, (_, i) => from + (i * (to - from)) / count)
      this.camera_projection = new Linear(device, cameraKey, cameras.channels, hidden)
      this.ray_embedding = new MLP(device, ray, 3 * count, 4 * hidden, { out: hidden, activation: 'relu' })
      this.pixels = constantly(scope(() => reshape(cellCenters(device, cameras.grid), [1, 1, -1, 2])))
      this.depths = constantly(device.tensor(depths, [count]))
    }
    this.bias_generator = bias === 'none' ? undefined : new AttentionBiasGenerator(device, biasKey, complete)
    const each = <T>(key: RngKey, make: (key: RngKey) => T) => key.split(layers).map(make)
    this.layers = each(layerKey, key => new CrossModalLayer(device, key, complete))
    this.norm = new LayerNorm(device, hidden)
    this.class_heads = each(classKey, key => head(device, key, hidden, classes, constant(CLASS_BIAS)))
    this.box_heads = each(boxKey, key => head(device, key, hidden, boxDim, zeros, zeros))
  }

  /**
   * Tokens of the modalities that the config names → predictions of every layer. In training, dropout needs a key.
   * @throws TypeError for a modality that is missing or that the model does not have, RangeError for shapes that do not fit.
   */
  forward(inputs: CrossModalInputs, options: { key?: RngKey } = {}): CrossModalOutputs {
    const batch = this.checkInputs(inputs)
    return scope(() => {
      const points = this.references(inputs, batch)
      const { memory, bias } = this.memory(inputs, points)
      const start = sigmoidInverse(points)
      const { firstContent, recomputeLayers } = this.config
      const { selfPosition: position } = memory
      // As a tensor of its own: its gradient is then added to the positions' as one, whether or not layers are computed again.
      let h = firstContent === 'position' ? reshape(position, position.shape) : position.device.zeros(position.shape)
      const predictions = this.layers.map((layer, i) => {
        const key = this.training ? options.key?.foldIn(i) : undefined
        h = recomputeLayers ? recomputedLayer(layer, h, memory, key) : layer.forward(h, memory, key)
        const x = this.norm.forward(h)
        return [this.class_heads[i].forward(x), located(this.box_heads[i].forward(x), start)]
      })
      const [logits, boxes] = [0, 1].map(part =>
        stack(
          predictions.map(each => each[part]),
          0,
        ),
      )
      return { logits, boxes, ...(bias && { biasScale: bias.scale, modalityWeights: bias.weights }) }
    }, 'CrossModalDecoder.forward')
  }

  /** Reference points of all queries, [B, D + Q, 3]. */
  private references({ dnQueries }: CrossModalInputs, batch: number): Tensor {
    const learned = expand(unsqueeze(this.reference_points, 0), [batch, this.config.queries, 3])
    return dnQueries ? concat([dnQueries, learned], 1) : learned
  }

  private memory(inputs: CrossModalInputs, points: Tensor): { memory: DecoderMemory; bias: GeneratedBias | undefined } {
    const views = [this.lidarView(inputs, points), this.cameraView(inputs, points)].filter(view => view !== undefined)
    const position = views.map(view => view.query).reduce((a, b) => add(a, b))
    const summaries = () => views.map(({ tokens, mask }) => (mask ? maskedMean(tokens, mask) : mean(tokens, 1)))
    const bias = this.bias_generator?.forward(position, summaries(), views)
    const memory: DecoderMemory = {
      selfPosition: position,
      crossPosition: position,
      keys: concat(
        views.map(view => add(view.tokens, view.position)),
        1,
      ),
      values: concat(
        views.map(view => view.tokens),
        1,
      ),
      selfMask: inputs.dnMask,
      cross: { keyMask: this.keyMask(inputs), ...bias?.options },
    }
    return { memory, bias }
  }

  private lidarView({ lidar, lidarMask: mask }: CrossModalInputs, points: Tensor): View | undefined {
    if (!lidar || !this.lidar_projection || !this.cells) return undefined
    const xy = slice(points, 2, 0, 2)
    return {
      tokens: this.lidar_projection.forward(mask ? clearPadding(lidar, mask) : lidar),
      mask,
      position: this.bevPosition(this.cells),
      query: this.bevPosition(xy),
      at: unsqueeze(xy, 2),
    }
  }

  private cameraView(inputs: CrossModalInputs, points: Tensor): View | undefined {
    const { cameras, cameraMask: mask, cameraProjection } = inputs
    if (!cameras || !cameraProjection || !this.camera_projection || !this.pixels) return undefined
    const rays = this.rayPosition(cameraProjection, this.pixels)
    const { uv, visible } = project(points, cameraProjection)
    return {
      tokens: this.camera_projection.forward(mask ? clearPadding(cameras, mask) : cameras),
      mask,
      position: reshape(rays, [rays.shape[0], -1, this.config.hiddenSize]),
      query: sum(mul(this.rayPosition(cameraProjection, uv), cast(visible, uv.dtype)), 1),
      at: permute(uv, [0, 2, 1, 3]),
      visible: permute(visible, [0, 2, 1, 3]),
    }
  }

  private bevPosition(xy: Tensor): Tensor {
    return this.bev_embedding!.forward(positionFeatures(xy, this.waves))
  }

  private rayPosition(projection: Tensor, uv: Tensor): Tensor {
    return this.ray_embedding!.forward(pointsAlongRays(projection, uv, this.depths!))
  }

  private keyMask({ lidar, lidarMask, cameras, cameraMask }: CrossModalInputs): Tensor | undefined {
    if (!lidarMask && !cameraMask) return undefined
    const all = (x: Tensor) => x.device.full(x.shape.slice(0, 2), 1, { dtype: 'bool' })
    const masks = [lidar && (lidarMask ?? all(lidar)), cameras && (cameraMask ?? all(cameras))]
    return concat(
      masks.filter(mask => mask !== undefined),
      1,
    )
  }

  /** The batch size. */
  private checkInputs(inputs: CrossModalInputs): number {
    const { lidar, cameras, queries } = this.config
    const batch = (inputs.lidar ?? inputs.cameras)?.shape[0] ?? 0
    const tokens = {
      lidar: lidar && [lidar.grid[0] * lidar.grid[1], lidar.channels],
      cameras: cameras && [cameras.count * cameras.grid[0] * cameras.grid[1], cameras.channels],
    }
    for (const name of ['lidar', 'cameras'] as const) {
      const expected = tokens[name]
      if (!expected !== !inputs[name]) {
        throw new TypeError(
          `CrossModalDecoder: the model has ${expected ? '' : 'no '}${name} but the inputs have ${expected ? 'none' : 'them'}` +
            (expected ? `; where a sensor failed, pass its tokens and a mask that is false there` : ''),
        )
      }
      if (expected) checkShape(name, inputs[name]!, [batch, ...expected])
    }
    if (cameras) {
      if (!inputs.cameraProjection)
        throw new TypeError('CrossModalDecoder: cameras need a cameraProjection [B, n, 3, 4]')
      checkShape('cameraProjection', inputs.cameraProjection, [batch, cameras.count, 3, 4])
    }
    const { lidarMask, cameraMask, dnQueries, dnMask } = inputs
    if (lidarMask) checkMask('CrossModalDecoder', 'lidarMask', lidarMask, [batch, tokens.lidar?.[0] ?? 0])
    if (cameraMask) checkMask('CrossModalDecoder', 'cameraMask', cameraMask, [batch, tokens.cameras?.[0] ?? 0])
    if (!dnQueries !== !dnMask)
      throw new TypeError(
        'CrossModalDecoder: dnQueries and dnMask go together: without a mask, answers leak into the learned queries',
      )
    if (dnQueries && dnMask) {
      checkShape('dnQueries', dnQueries, [batch, dnQueries.shape[1], 3])
      const all = dnQueries.shape[1] + queries
      checkMask('CrossModalDecoder', 'dnMask', dnMask, dnMask.rank === 3 ? [batch, all, all] : [all, all])
    }
    return batch
  }
}

/** Linear, norm, relu, linear. */
function head(device: Device, key: RngKey, hidden: number, out: number, biasInit: Initializer, init?: Initializer) {
  const [first, second] = key.split(2)
  return new Sequential(
    new Linear(device, first, hidden, hidden),
    new LayerNorm(device, hidden),
    relu,
    new Linear(device, second, hidden, out, { init, biasInit }),
  )
}

/** x with its first three numbers as a centre: sigmoid(x + start). */
function located(x: Tensor, start: Tensor): Tensor {
  const center = sigmoid(add(slice(x, 2, 0, 3), start))
  return x.shape[2] === 3 ? center : concat([center, slice(x, 2, 3)], 2)
}

/** log(x/(1 − x)) of x in 0 … 1. */
function sigmoidInverse(x: Tensor): Tensor {
  const inside = clamp(x, EDGE, 1 - EDGE)
  return sub(log(inside), log(sub(1, inside)))
}

function checkShape(name: string, x: Tensor, expected: readonly number[]): void {
  if (x.shape.join() !== expected.join())
    throw new RangeError(
      `CrossModalDecoder: ${name} has shape [${x.shape.join(', ')}], expected [${expected.join(', ')}]`,
    )
}
