// The Diffusion Transformer (Peebles & Xie, "Scalable Diffusion Models with Transformers", ICCV 2023), top to bottom:
// embeddings, block, final layer, model, presets. Weights are named as in facebookresearch/DiT.

import {
  add,
  type ComputeDType,
  concat,
  type Device,
  type GatedInto,
  hostUniform,
  linear,
  modulatedLayerNorm,
  packedAttention,
  type RngKey,
  recompute,
  reshape,
  scope,
  silu,
  slice,
  Tensor,
  where,
} from '@ditkit/core'
import {
  buffer,
  Embedding,
  Linear,
  MLP,
  Module,
  normalInit,
  parameter,
  Sequential,
  xavierUniform,
  zeros,
} from '@ditkit/nn'
import { type GuideOptions, guide } from './guidance'
import { patchify, unpatchify } from './patches'
import { sinCosPositions } from './position-embedding'
import { TIMESTEP_CHANNELS, type Timesteps, timestepSinusoids } from './timestep-embedding'

/** B class numbers on the host, or as an i32 tensor [B]; `model.nullClass` is "no class". */
export type Labels = ArrayLike<number> | Tensor

export interface DiTConfig {
  /** Side of the (square) images or latents, or [height, width]. */
  inputSize: number | readonly [number, number]
  patchSize: number
  inChannels: number
  hiddenSize: number
  depth: number
  numHeads: number
  /** Width of the MLP over hiddenSize. Default 4. */
  mlpRatio?: number
  /** Default 0: unconditional. */
  numClasses?: number
  /** How often training replaces a label by the null class. Default 0.1. At 0 there is no null class, and no guidance. */
  classDropout?: number
  /** Also predicts a variance: outChannels is 2·inChannels. Default false. */
  learnSigma?: boolean
  /** How many leading channels guidance acts on. Default: inChannels. facebookresearch/DiT: 3. */
  guidedChannels?: number
  /** Keeps only the blocks' inputs and computes their activations again in backward. Default false. */
  recomputeBlocks?: boolean
  /**
   * What the blocks' products over tokens (qkv, proj, fc1, fc2: nearly all the arithmetic of a model) round their operands to,
   * forward and backward. Weights, activations, attention, conditioning and the last layer stay f32. Default 'f32'.
   */
  computeDtype?: ComputeDType
}

const EPS = 1e-6
const XAVIER = { init: xavierUniform, biasInit: zeros }
const ZERO = { init: zeros, biasInit: zeros }
const SMALL = { init: normalInit({ std: 0.02 }), biasInit: zeros }

/** The weights of a convolution whose stride is its kernel: [C, channels, p, p]. */
class PatchProjection extends Module {
  readonly weight: Tensor
  readonly bias: Tensor

  constructor(device: Device, key: RngKey, channels: number, hidden: number, p: number) {
    super()
    const fans = { fanIn: channels * p * p, fanOut: hidden }
    this.weight = parameter(xavierUniform(device, [hidden, channels, p, p], key, fans))
    this.bias = parameter(device.zeros([hidden]))
  }
}

/** x [B, channels, H, W] → tokens [B, N, C]. */
class PatchEmbed extends Module {
  readonly proj: PatchProjection

  constructor(
    device: Device,
    key: RngKey,
    channels: number,
    hidden: number,
    readonly patchSize: number,
  ) {
    super()
    this.proj = new PatchProjection(device, key, channels, hidden, patchSize)
  }

  forward(x: Tensor): Tensor {
    const { weight, bias } = this.proj
    return linear(patchify(x, this.patchSize), reshape(weight, [weight.shape[0], -1]), bias)
  }
}

/** Sinusoids of t [B, 256] → [B, C]. */
export class TimestepEmbedder extends Module {
  readonly mlp: Sequential

  constructor(device: Device, key: RngKey, hidden: number) {
    super()
    const [first, second] = key.split(2)
    this.mlp = new Sequential(
      new Linear(device, first, TIMESTEP_CHANNELS, hidden, SMALL),
      silu,
      new Linear(device, second, hidden, hidden, SMALL),
    )
  }

  forward(sinusoids: Tensor): Tensor {
    return this.mlp.forward(sinusoids)
  }
}

/** Labels → [B, C]; the last entry of the table is the null class. */
class LabelEmbedder extends Module {
  readonly embedding_table: Embedding

  constructor(
    device: Device,
    key: RngKey,
    readonly classes: number,
    hidden: number,
    readonly dropout: number,
  ) {
    super()
    this.embedding_table = new Embedding(device, key, classes + (dropout > 0 ? 1 : 0), hidden, SMALL)
  }

  /** With a key, in training, each label is replaced by the null class with probability `dropout`. */
  forward(labels: Tensor, key?: RngKey): Tensor {
    if (!this.training || this.dropout === 0) return this.embedding_table.forward(labels)
    if (!key)
      throw new Error('DiT: label dropout in training needs a key: forward(x, t, labels, { key }), or call eval()')
    const dropped = Uint8Array.from(hostUniform(key, labels.size), draw => (draw < this.dropout ? 1 : 0))
    return this.embedding_table.forward(where(labels.device.tensor(dropped, labels.shape), this.classes, labels))
  }
}

/** Self-attention over tokens [B, N, C]. */
class Attention extends Module {
  readonly qkv: Linear
  readonly proj: Linear

  constructor(
    device: Device,
    key: RngKey,
    hidden: number,
    readonly heads: number,
    readonly computeDtype: ComputeDType,
  ) {
    super()
    const [first, second] = key.split(2)
    this.qkv = new Linear(device, first, hidden, 3 * hidden, { ...XAVIER, computeDtype })
    this.proj = new Linear(device, second, hidden, hidden, { ...XAVIER, computeDtype })
  }

  forward(x: Tensor, into: GatedInto): Tensor {
    const { 0: batch, 1: tokens, 2: hidden } = x.shape
    const qkv = reshape(this.qkv.forward(x), [batch, tokens, 3, this.heads, hidden / this.heads])
    const { computeDtype } = this
    return this.proj.forward(reshape(packedAttention(qkv, { computeDtype }), [batch, tokens, hidden]), 'none', into)
  }
}

/** A transformer block with adaptive layer norm, the identity at first (adaLN-zero). x [B, N, C], c [B, C]. */
class DiTBlock extends Module {
  readonly attn: Attention
  readonly mlp: MLP
  readonly adaLN_modulation: Sequential

  constructor(device: Device, key: RngKey, config: Required<DiTConfig>) {
    super()
    const { hiddenSize: hidden, numHeads, mlpRatio, computeDtype } = config
    const [attention, mlp, modulation] = key.split(3)
    this.attn = new Attention(device, attention, hidden, numHeads, computeDtype)
    this.mlp = new MLP(device, mlp, hidden, Math.floor(hidden * mlpRatio), { ...XAVIER, computeDtype })
    this.adaLN_modulation = new Sequential(silu, new Linear(device, modulation, hidden, 6 * hidden, ZERO))
  }

  forward(x: Tensor, c: Tensor): Tensor {
    // Per sample: shift, scale, gate for attention, then for the MLP.
    const m = reshape(this.adaLN_modulation.forward(c), [x.shape[0], 6, x.shape[2]])
    // Both branches end as residual + gate·branch, in their last product.
    const h = this.attn.forward(modulatedLayerNorm(x, m, 0, 1, EPS), { residual: x, modulation: m, gateIndex: 2 })
    return this.mlp.forward(modulatedLayerNorm(h, m, 3, 4, EPS), { residual: h, modulation: m, gateIndex: 5 })
  }
}

/** Tokens [B, N, C] → patches [B, N, p·p·outChannels]; zero at first. */
class FinalLayer extends Module {
  readonly linear: Linear
  readonly adaLN_modulation: Sequential

  constructor(device: Device, key: RngKey, hidden: number, out: number) {
    super()
    const [first, second] = key.split(2)
    this.linear = new Linear(device, first, hidden, out, ZERO)
    this.adaLN_modulation = new Sequential(silu, new Linear(device, second, hidden, 2 * hidden, ZERO))
  }

  forward(x: Tensor, c: Tensor): Tensor {
    const m = reshape(this.adaLN_modulation.forward(c), [x.shape[0], 2, x.shape[2]])
    return this.linear.forward(modulatedLayerNorm(x, m, 0, 1, EPS))
  }
}

export class DiT extends Module {
  readonly x_embedder: PatchEmbed
  readonly t_embedder: TimestepEmbedder
  readonly y_embedder: LabelEmbedder | undefined
  readonly pos_embed: Tensor
  readonly blocks: readonly DiTBlock[]
  readonly final_layer: FinalLayer
  readonly config: Required<DiTConfig>
  /** [height, width] in patches. */
  readonly grid: readonly [number, number]
  readonly outChannels: number
  /** The label that stands for no class. */
  readonly nullClass: number

  /** @throws RangeError for sizes that do not fit together. */
  constructor(
    readonly device: Device,
    key: RngKey,
    config: DiTConfig,
  ) {
    super()
    const { patchSize: p, inChannels, hiddenSize, depth, mlpRatio = 4, computeDtype = 'f32' } = config
    const { numClasses = 0, classDropout = 0.1, learnSigma = false } = config
    const { guidedChannels = inChannels, recomputeBlocks = false } = config
    const [height, width] = checkSizes(config)
    const defaults = { mlpRatio, numClasses, classDropout, learnSigma, guidedChannels, recomputeBlocks, computeDtype }
    this.config = { ...config, ...defaults }
    this.grid = [height / p, width / p]
    this.outChannels = learnSigma ? 2 * inChannels : inChannels
    this.nullClass = numClasses

    const [xKey, tKey, yKey, finalKey, ...blockKeys] = key.split(4 + depth)
    this.x_embedder = new PatchEmbed(device, xKey, inChannels, hiddenSize, p)
    this.t_embedder = new TimestepEmbedder(device, tKey, hiddenSize)
    this.y_embedder = numClasses > 0 ? new LabelEmbedder(device, yKey, numClasses, hiddenSize, classDropout) : undefined
    const positions = sinCosPositions(hiddenSize, ...this.grid)
    this.pos_embed = buffer(device.tensor(positions, [1, this.grid[0] * this.grid[1], hiddenSize]))
    this.blocks = blockKeys.map(blockKey => new DiTBlock(device, blockKey, this.config))
    this.final_layer = new FinalLayer(device, finalKey, hiddenSize, p * p * this.outChannels)
  }

  /**
   * x [B, inChannels, H, W] at timesteps t → [B, outChannels, H, W]. Labels left out mean the null class. `key` draws the
   * label dropout of training.
   * @throws RangeError when shapes, counts or labels do not fit.
   */
  forward(x: Tensor, t: Timesteps, labels?: Labels, options: { key?: RngKey } = {}): Tensor {
    const { patchSize, recomputeBlocks } = this.config
    this.checkInput(x)
    return scope(() => {
      let h = add(this.x_embedder.forward(x), this.pos_embed)
      const c = this.condition(x.shape[0], t, labels, options.key)
      for (const block of this.blocks) {
        const forward = (h: Tensor, c: Tensor) => block.forward(h, c)
        // Without a tape, a block's activations go before the next block makes its own.
        h = scope(() => (recomputeBlocks ? recompute(forward, h, c) : forward(h, c)), 'DiTBlock.forward')
      }
      return unpatchify(this.final_layer.forward(h, c), patchSize, ...this.grid)
    }, 'DiT.forward')
  }

  /**
   * Classifier-free guidance, `guide([u, c], scale)`, for the leading `guidedChannels`, and the conditional output for the rest. x holds
   * B samples; both halves run as one batch of 2B, and at scale 1 only the conditional one. `negative` are labels to move away from, in
   * place of the null class.
   * @throws Error when the model has no null class and negative is not given.
   */
  forwardWithGuidance(
    x: Tensor,
    t: Timesteps,
    labels: Labels,
    scale: number,
    options: GuideOptions & { guidedChannels?: number; negative?: Labels } = {},
  ): Tensor {
    if (scale === 1) return this.forward(x, t, labels)
    const { negative } = options
    if (!this.y_embedder || (this.y_embedder.dropout === 0 && !negative))
      throw new Error(
        'DiT: guidance needs a null class: a model with numClasses and classDropout above 0; or use scale 1',
      )
    const { inChannels, guidedChannels } = this.config
    const guided = Math.min(options.guidedChannels ?? guidedChannels, inChannels)
    const batch = x.shape[0]
    return scope(() => {
      const sinusoids = timestepSinusoids('DiT', this.device, batch, t)
      const classes = concat([this.labelTensor(batch, labels), this.labelTensor(batch, negative)], 0)
      const both = this.forward(concat([x, x], 0), concat([sinusoids, sinusoids], 0), classes)
      const conditional = slice(both, 0, 0, batch)
      const c = slice(conditional, 1, 0, guided)
      const u = slice(slice(both, 0, batch), 1, 0, guided)
      const out = guide([u, c], scale, options)
      return guided === this.outChannels ? out : concat([out, slice(conditional, 1, guided)], 1)
    })
  }

  /** c [B, C]: what the blocks are conditioned on. */
  private condition(batch: number, t: Timesteps, labels: Labels | undefined, key: RngKey | undefined): Tensor {
    const time = this.t_embedder.forward(timestepSinusoids('DiT', this.device, batch, t))
    if (this.y_embedder) return add(time, this.y_embedder.forward(this.labelTensor(batch, labels), key))
    if (labels) throw new RangeError('DiT: labels were given to an unconditional model (numClasses 0)')
    return time
  }

  private labelTensor(batch: number, labels: Labels = new Int32Array(batch).fill(this.nullClass)): Tensor {
    if (labels instanceof Tensor) {
      if (labels.rank !== 1 || labels.size !== batch || labels.dtype !== 'i32')
        throw new RangeError(`DiT: labels is ${labels} but x has ${batch} samples (expected an i32 tensor [${batch}])`)
      return labels
    }
    if (labels.length !== batch)
      throw new RangeError(`DiT: ${labels.length} labels for ${batch} samples (expected one each)`)
    const last = this.nullClass - (this.config.classDropout > 0 ? 0 : 1)
    const values = Int32Array.from(labels)
    const wrong = values.findIndex((label, i) => label !== labels[i] || label < 0 || label > last)
    if (wrong >= 0) throw new RangeError(`DiT: label ${wrong} is ${labels[wrong]}, expected an integer in 0 … ${last}`)
    return this.device.tensor(values, [batch])
  }

  private checkInput(x: Tensor): void {
    const { inChannels, patchSize } = this.config
    const expected = [inChannels, this.grid[0] * patchSize, this.grid[1] * patchSize]
    if (x.rank !== 4 || x.shape.slice(1).join() !== expected.join())
      throw new RangeError(`DiT: x has shape [${x.shape.join(', ')}], expected [B, ${expected.join(', ')}]`)
  }
}

/** [height, width] of the input, after checking what must divide what. */
function checkSizes(config: DiTConfig): readonly [number, number] {
  const { inputSize, patchSize, hiddenSize, numHeads } = config
  const size = typeof inputSize === 'number' ? ([inputSize, inputSize] as const) : inputSize
  if (size.some(side => side < patchSize || side % patchSize !== 0))
    throw new RangeError(`DiT: patchSize ${patchSize} does not divide inputSize [${size.join(', ')}]`)
  if (hiddenSize % 4 !== 0)
    throw new RangeError(`DiT: hiddenSize ${hiddenSize} must be a multiple of 4 (sines and cosines of row and column)`)
  if (hiddenSize % numHeads !== 0)
    throw new RangeError(`DiT: numHeads ${numHeads} does not divide hiddenSize ${hiddenSize}`)
  return size
}

const WIDTHS = {
  S: { depth: 12, hiddenSize: 384, numHeads: 6 },
  B: { depth: 12, hiddenSize: 768, numHeads: 12 },
  L: { depth: 24, hiddenSize: 1024, numHeads: 16 },
  XL: { depth: 28, hiddenSize: 1152, numHeads: 16 },
}

export type DiTPreset = `DiT-${keyof typeof WIDTHS}/${2 | 4 | 8}`

/**
 * The config of a model of the paper: 32×32×4 latents of 256×256 images, 1000 classes, learned variance, guidance on three
 * channels. `overrides` replace any of it.
 */
export function ditPreset(name: DiTPreset, overrides: Partial<DiTConfig> = {}): DiTConfig {
  const [, width, patch] = /^DiT-(S|B|L|XL)\/([248])$/.exec(name) ?? []
  if (!width) throw new RangeError(`ditPreset: '${name}' is not one of DiT-{S,B,L,XL}/{2,4,8}`)
  const latents = { inputSize: 32, inChannels: 4, numClasses: 1000, learnSigma: true, guidedChannels: 3 }
  return { ...latents, patchSize: Number(patch), ...WIDTHS[width as keyof typeof WIDTHS], ...overrides }
}
