// Poses anchored to the scene's surface: each is given from the frame of a point of it. Which point is drawn first, by a learned
// distribution over the points, and the pose then by diffusion or flow given the point: a mixture with a component at every
// point, so that what is learned of one place holds for others like it, however large the scene. (Contact-GraspNet, Sundermeyer
// et al. 2021, arXiv:2103.14127, anchors grasps to points in this way.)

import {
  add,
  concat,
  type Device,
  mean,
  mul,
  type RngKey,
  reshape,
  scope,
  slice,
  softplus,
  sum,
  type Tensor,
  where,
} from '@ditkit/core'
import { LayerNorm, Linear, MLP, Module, xavierUniform, zeros } from '@ditkit/nn'
import type { EncodedCondition } from './condition'
import { type LocalConfig, LocalEncoder } from './encoders/local'
import { clearPadding } from './masked'
import type { PoseFrames } from './pose-geometry'
import { CrossAttention, type TokenAttentionConfig } from './token-attention'

const XAVIER = { init: xavierUniform, biasInit: zeros }
/** Numbers of an anchor beside what is around it: which way is up as it sees it, and its height. */
const PLACE = 4

/** Anchors [B, G] that are padding, and may hold anything, at the origin. */
export function clearFrames({ positions, rotations }: PoseFrames, mask: Tensor): PoseFrames {
  const [batch, count] = mask.shape
  return {
    positions: clearPadding(positions, mask),
    ...(rotations && { rotations: where(reshape(mask, [batch, count, 1, 1]), rotations, 0) }),
  }
}

/** What an anchor knows of itself: the points around it, seen in its frame, which way is up, and its height → [B, G, C]. */
export class AnchorEncoder extends Module {
  readonly around: LocalEncoder
  readonly proj: Linear

  constructor(device: Device, key: RngKey, channels: number, hidden: number, config: LocalConfig) {
    super()
    const [aroundKey, projKey] = key.split(2)
    this.around = new LocalEncoder(device, aroundKey, channels, config)
    this.proj = new Linear(device, projKey, this.around.width + PLACE, hidden, XAVIER)
  }

  forward(anchors: PoseFrames, { points, pointMask }: EncodedCondition): Tensor {
    return scope(() => {
      const around = this.around.forward(anchors, points!, pointMask!)
      const [batch, count] = around.shape
      const up = reshape(slice(anchors.rotations!, 2, 2, 3), [batch, count, 3])
      return this.proj.forward(concat([around, up, slice(anchors.positions, 2, 2, 3)], 2))
    }, 'AnchorEncoder.forward')
  }
}

/** What a proposal says of places [B, Q]. */
export interface Proposed {
  /** How much likelier, as a logarithm, the place is to anchor a pose than a point at random, by what is around it alone. */
  readonly shape: Tensor
  /** The logit of being part of what the text names, by the scene and the text too. */
  readonly named: Tensor
}

/** Which places anchor poses: those whose surroundings suit, on the thing that the text names. What is around a place is all that the first question needs, so what is learned of it holds for other scenes. */
export class AnchorProposal extends Module {
  readonly shape_norm: LayerNorm
  readonly shape: MLP
  readonly scene_norm: LayerNorm
  readonly scene_attn: CrossAttention
  readonly text_norm: LayerNorm | undefined
  readonly text_attn: CrossAttention | undefined
  readonly named_norm: LayerNorm
  readonly named: MLP

  constructor(device: Device, key: RngKey, config: TokenAttentionConfig & { textDim: number }) {
    super()
    const { hiddenSize: hidden, textDim } = config
    const [shapeKey, sceneKey, textKey, namedKey] = key.split(4)
    this.shape_norm = new LayerNorm(device, hidden)
    this.shape = new MLP(device, shapeKey, hidden, hidden, { ...XAVIER, out: 1 })
    this.scene_norm = new LayerNorm(device, hidden)
    this.scene_attn = new CrossAttention(device, sceneKey, config)
    if (textDim > 0) {
      this.text_norm = new LayerNorm(device, hidden)
      this.text_attn = new CrossAttention(device, textKey, config)
    }
    this.named_norm = new LayerNorm(device, hidden)
    this.named = new MLP(device, namedKey, hidden, hidden, { ...XAVIER, out: 1 })
  }

  /** features [B, Q, C] of an `AnchorEncoder`. */
  forward(features: Tensor, { scene, sceneMask, text, textMask }: EncodedCondition): Proposed {
    return scope(() => {
      const shape = this.shape.forward(this.shape_norm.forward(features))
      const seen = this.scene_attn.forward(this.scene_norm.forward(features), scene!, { keyMask: sceneMask! })
      let h = add(features, seen)
      if (text && this.text_attn && this.text_norm)
        h = add(h, this.text_attn.forward(this.text_norm.forward(h), text, { keyMask: textMask! }))
      const named = this.named.forward(this.named_norm.forward(h))
      const places = features.shape.slice(0, 2)
      return { shape: reshape(shape, places), named: reshape(named, places) }
    }, 'AnchorProposal.forward')
  }
}

/**
 * The loss of a proposal for places [B, Q] of which the first `anchors` of each sample anchor poses, and the others are points at random;
 * `named` [B, Q] says which are part of what the text names (1, not 0). The shape of anchors is told from that of other points of the same thing, by
 * noise-contrastive estimation (Gutmann & Hyvärinen 2010), after which exp(shape) is the ratio of the two densities, up to a factor.
 */
export function proposalLoss({ shape, named: belongs }: Proposed, anchors: number, named: Uint8Array): Tensor {
  const [batch, places] = shape.shape
  if (named.length !== batch * places)
    throw new RangeError(
      `proposalLoss: named has ${named.length} entries, expected ${batch * places} ([${batch}, ${places}])`,
    )
  return scope(() => {
    const { device } = shape
    const isAnchor = named.map((_, i) => Number(i % places < anchors))
    const weights = Float32Array.from(named)
    const sign = (flags: Uint8Array) =>
      device.tensor(
        Float32Array.from(flags, flag => (flag ? -1 : 1)),
        [batch, places],
      )
    const told = mul(softplus(mul(shape, sign(isAnchor))), device.tensor(weights, [batch, places]))
    const total = Math.max(
      1,
      weights.reduce((sum, weight) => sum + weight, 0),
    )
    return add(mul(sum(told), 1 / total), mean(softplus(mul(belongs, sign(named)))))
  }, 'proposalLoss')
}
