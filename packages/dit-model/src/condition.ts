// What a SceneDiT is conditioned on, a scene and a text, as tokens of the model's width; and what stands for either when
// there is none, which training puts in its place now and then so that guidance has something to compare with.

import {
  add,
  type Device,
  hostUniform,
  logicalAnd,
  type RngKey,
  scope,
  type Tensor,
  unsqueeze,
  where,
} from '@ditkit/core'
import { LayerNorm, Linear, MLP, Module, normalInit, parameter, xavierUniform, zeros } from '@ditkit/nn'
import { checkMask, checkPoints } from './encoders/check-points'
import { makeSceneEncoder, type SceneEncoderConfig } from './encoders/scene-encoder'
import type { SceneEncoder } from './encoders/scene-tokens'
import { anyValid, clearPadding } from './masked'

/** A scene and a text; what is left out, or has no valid point or token, is "none". Both have B samples. */
export interface SceneCondition {
  /** [B, P, channels]: x, y, z and features. */
  points?: Tensor
  /** bool [B, P], true for points that exist. Default: all do. */
  pointMask?: Tensor
  /** Embeddings of sentences [B, E], or of tokens [B, L, E]. */
  text?: Tensor
  /** bool [B] for sentences, [B, L] for tokens: true for those that exist. Default: all do. */
  textMask?: Tensor
}

/** What `encode` makes of a SceneCondition: to be made once and used at every step of a sampler. Free it by `dispose` of its tensors. */
export interface EncodedCondition {
  readonly encoded: true
  /** [B, N, C] and bool [B, N] */
  readonly scene?: Tensor
  readonly sceneMask?: Tensor
  /** [B, N, 3] */
  readonly scenePositions?: Tensor
  /** [B, P, channels] and bool [B, P], for what is near a pose. */
  readonly points?: Tensor
  readonly pointMask?: Tensor
  /** [B, L, C] and bool [B, L] */
  readonly text?: Tensor
  readonly textMask?: Tensor
}

export interface ConditionConfig {
  hiddenSize: number
  scene: SceneEncoderConfig | undefined
  textDim: number
  sceneDropout: number
  textDropout: number
  jointDropout: number
}

/** Tokens [B, N, in] → [B, N, C]; where a sample has none, one learned token. */
class TokenEmbedder extends Module {
  readonly norm: LayerNorm
  readonly proj: Linear
  readonly null_token: Tensor

  constructor(device: Device, key: RngKey, width: number, hidden: number) {
    super()
    const [proj, none] = key.split(2)
    this.norm = new LayerNorm(device, width)
    this.proj = new Linear(device, proj, width, hidden, { init: xavierUniform, biasInit: zeros })
    this.null_token = parameter(normalInit({ std: 0.02 })(device, [1, 1, hidden], none))
  }

  forward(tokens: Tensor): Tensor {
    return this.proj.forward(this.norm.forward(tokens))
  }

  /** Tokens and mask of the samples that `present` [B, 1] names; of the others the null token, which alone takes part. */
  orNone(tokens: Tensor, mask: Tensor, present: Tensor): { tokens: Tensor; mask: Tensor } {
    const count = mask.shape[1]
    const first = mask.device.tensor(new Uint8Array(count).fill(1, 0, 1), [1, count])
    return {
      tokens: where(unsqueeze(present, 2), tokens, this.null_token),
      mask: where(present, mask, first),
    }
  }
}

export class ConditionEncoder extends Module {
  readonly scene: SceneEncoder | undefined
  readonly scene_embedder: TokenEmbedder | undefined
  /** Where a token is, for encoders whose tokens are somewhere. */
  readonly scene_position: MLP | undefined
  readonly text_embedder: TokenEmbedder | undefined

  constructor(
    readonly device: Device,
    key: RngKey,
    readonly config: ConditionConfig,
  ) {
    super()
    const { scene, textDim, hiddenSize } = config
    const [sceneKey, embedKey, positionKey, textKey] = key.split(4)
    if (scene) {
      this.scene = makeSceneEncoder(device, sceneKey, scene)
      this.scene_embedder = new TokenEmbedder(device, embedKey, this.scene.width, hiddenSize)
      if (this.scene.located) this.scene_position = new MLP(device, positionKey, 3, hiddenSize, { out: hiddenSize })
    }
    if (textDim > 0) this.text_embedder = new TokenEmbedder(device, textKey, textDim, hiddenSize)
  }

  /** @throws RangeError for tensors that do not fit each other or the model. */
  forward(condition: SceneCondition, key?: RngKey): EncodedCondition {
    const { points, text } = condition
    this.check(condition)
    return scope(() => {
      const batch = (points ?? text)?.shape[0] ?? 1
      const kept = this.drawn(batch, points || text ? key : undefined)
      return {
        encoded: true,
        ...this.encodeScene(condition, batch, kept?.scene),
        ...this.encodeText(condition, batch, kept?.text),
      }
    }, 'SceneDiT.encode')
  }

  private encodeScene(condition: SceneCondition, batch: number, kept: Tensor | undefined) {
    if (!this.scene || !this.scene_embedder) return {}
    const { device } = this
    const points = condition.points ?? device.zeros([batch, 1, this.config.scene!.channels])
    const mask = condition.points ? (condition.pointMask ?? ones(points)) : device.zeros([batch, 1], { dtype: 'bool' })
    const present = kept ? logicalAnd(anyValid(mask), kept) : anyValid(mask)
    const seen = this.scene.forward(points, mask)
    const embedded = this.scene_embedder.forward(seen.tokens)
    const located = seen.positions && this.scene_position
    const tokens = located ? add(embedded, this.scene_position!.forward(seen.positions!)) : embedded
    const { tokens: scene, mask: sceneMask } = this.scene_embedder.orNone(tokens, seen.mask, present)
    return {
      scene,
      sceneMask,
      scenePositions: seen.positions && where(unsqueeze(present, 2), seen.positions, 0),
      points: clearPadding(points, mask),
      pointMask: logicalAnd(mask, present),
    }
  }

  private encodeText(condition: SceneCondition, batch: number, kept: Tensor | undefined) {
    if (!this.text_embedder) return {}
    const { device } = this
    const given = condition.text ?? device.zeros([batch, this.config.textDim])
    const text = given.rank === 2 ? unsqueeze(given, 1) : given
    const whole = condition.textMask ?? (condition.text ? ones(text) : device.zeros([batch, 1], { dtype: 'bool' }))
    const mask = whole.rank === 1 ? unsqueeze(whole, 1) : whole
    const present = kept ? logicalAnd(anyValid(mask), kept) : anyValid(mask)
    const embedded = this.text_embedder.forward(clearPadding(text, mask))
    const { tokens, mask: textMask } = this.text_embedder.orNone(embedded, mask, present)
    return { text: tokens, textMask }
  }

  /**
   * bool [B, 1] each: which samples keep their scene and their text in training. One draw decides, so that each alone and both
   * together are missing as often as the config says (Brooks et al. 2023, arXiv:2211.09800).
   */
  private drawn(batch: number, key: RngKey | undefined): { scene: Tensor; text: Tensor } | undefined {
    const { sceneDropout, textDropout, jointDropout } = this.config
    if (!this.training || !key) return undefined
    const draws = hostUniform(key, batch)
    const keeps = (drops: (draw: number) => boolean) =>
      this.device.tensor(
        Uint8Array.from(draws, draw => (drops(draw) ? 0 : 1)),
        [batch, 1],
      )
    const [both, scene] = [jointDropout, jointDropout + sceneDropout]
    return {
      scene: keeps(draw => draw < scene),
      text: keeps(draw => draw < both || (draw >= scene && draw < scene + textDropout)),
    }
  }

  private check({ points, pointMask, text, textMask }: SceneCondition): void {
    const { scene, textDim } = this.config
    if (points && !scene) throw new RangeError('SceneDiT: points were given to a model without a scene encoder')
    if (text && textDim === 0) throw new RangeError('SceneDiT: text was given to a model without text (textDim 0)')
    if (pointMask && !points) throw new RangeError('SceneDiT: pointMask was given without points')
    if (textMask && !text) throw new RangeError('SceneDiT: textMask was given without text')
    if (points && scene) {
      if (pointMask) checkPoints('SceneDiT', points, pointMask, scene.channels)
    }
    if (text) {
      const [batch, length] = text.shape
      if ((text.rank !== 2 && text.rank !== 3) || text.shape[text.rank - 1] !== textDim || text.size === 0)
        throw new RangeError(
          `SceneDiT: text has shape [${text.shape.join(', ')}], expected [B, ${textDim}] (sentences) or [B, L, ${textDim}] (tokens)`,
        )
      if (textMask) checkMask('SceneDiT', 'textMask', textMask, text.rank === 2 ? [batch] : [batch, length])
      if (points && points.shape[0] !== batch)
        throw new RangeError(`SceneDiT: ${points.shape[0]} scenes but ${batch} texts (expected one each)`)
    }
  }
}

/** A mask for tokens [B, N, …] that all exist. */
function ones(tokens: Tensor): Tensor {
  return tokens.device.full(tokens.shape.slice(0, 2), 1, { dtype: 'bool' })
}
