// Poses anchored to the scene's surface: each is given from the frame of a point of it. Which point is drawn first, by a learned
// distribution over the points, and the pose then by diffusion or flow given the point: a mixture with a component at every
// point, so that what is learned of one place holds for others like it, however large the scene. (Contact-GraspNet, Sundermeyer
// et al. 2021, arXiv:2103.14127, anchors grasps to points in this way.)

import {
  add,
  concat,
  crossEntropy,
  type Device,
  type RngKey,
  reshape,
  scope,
  slice,
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

/** How much likelier a place is to anchor a pose than a point at random: a number for each, from what it knows of itself, the scene and the text. */
export class AnchorProposal extends Module {
  readonly scene_norm: LayerNorm
  readonly scene_attn: CrossAttention
  readonly text_norm: LayerNorm | undefined
  readonly text_attn: CrossAttention | undefined
  readonly mlp_norm: LayerNorm
  readonly mlp: MLP

  constructor(device: Device, key: RngKey, config: TokenAttentionConfig & { textDim: number }) {
    super()
    const { hiddenSize: hidden, textDim } = config
    const [sceneKey, textKey, mlpKey] = key.split(3)
    this.scene_norm = new LayerNorm(device, hidden)
    this.scene_attn = new CrossAttention(device, sceneKey, config)
    if (textDim > 0) {
      this.text_norm = new LayerNorm(device, hidden)
      this.text_attn = new CrossAttention(device, textKey, config)
    }
    this.mlp_norm = new LayerNorm(device, hidden)
    this.mlp = new MLP(device, mlpKey, hidden, hidden, { ...XAVIER, out: 1 })
  }

  /** features [B, Q, C] of an `AnchorEncoder` → logits [B, Q]. */
  forward(features: Tensor, { scene, sceneMask, text, textMask }: EncodedCondition): Tensor {
    return scope(() => {
      const seen = this.scene_attn.forward(this.scene_norm.forward(features), scene!, { keyMask: sceneMask! })
      let h = add(features, seen)
      if (text && this.text_attn && this.text_norm)
        h = add(h, this.text_attn.forward(this.text_norm.forward(h), text, { keyMask: textMask! }))
      return reshape(this.mlp.forward(this.mlp_norm.forward(h)), features.shape.slice(0, 2))
    }, 'AnchorProposal.forward')
  }
}

/**
 * Noise-contrastive estimation (Gutmann & Hyvärinen 2010): tells logits [B, Q] of anchors of poses from those of points at random,
 * after which exp(logit) is the ratio of the two densities, up to a factor.
 */
export function proposalLoss(ofAnchors: Tensor, ofRandom: Tensor): Tensor {
  return scope(() => {
    const { device } = ofAnchors
    const logits = concat([reshape(ofAnchors, [-1]), reshape(ofRandom, [-1])], 0)
    const pairs = concat([device.zeros([logits.size, 1]), reshape(logits, [logits.size, 1])], 1)
    const labels = new Int32Array(logits.size).fill(1, 0, ofAnchors.size)
    return crossEntropy(pairs, device.tensor(labels, [logits.size]))
  }, 'proposalLoss')
}
