// SceneDiT: a Diffusion Transformer over poses, conditioned on a scene (a point cloud) and a text: block, then model. A block is
// self-attention over the poses, cross-attention to the scene and to the text, and an MLP (as in PixArt-α, Chen et al. 2023,
// arXiv:2310.00426); or a double-stream block (double-stream.ts). The last layer: pose-output.ts; the options: scene-dit-config.ts.

import {
  add,
  concat,
  type Device,
  mul,
  type RngKey,
  recompute,
  reshape,
  scope,
  sigmoid,
  slice,
  type Tensor,
  unsqueeze,
} from '@ditkit/core'
import { Linear, MLP, Module, normalInit, parameter, xavierUniform, zeros } from '@ditkit/nn'
import { AnchorEncoder, AnchorProposal, clearFrames } from './anchors'
import { batched, repeated } from './batched-conditions'
import { ConditionEncoder, type EncodedCondition, type SceneCondition } from './condition'
import { type BlockInputs, ConditionedBlock, type SceneBlock } from './conditioned-block'
import { TimestepEmbedder } from './dit'
import { DoubleStreamBlock } from './double-stream'
import { checkMask } from './encoders/check-points'
import { LocalEncoder } from './encoders/local'
import { DistanceBias, GeometricBias } from './geometric-bias'
import { type GuideOptions, guide } from './guidance'
import { LocatedCrossAttention } from './located-attention'
import { clearPadding, maskedMean } from './masked'
import {
  composed,
  distanceFactors,
  FRAME_VECTORS,
  inFrame,
  type PoseFrameKind,
  type PoseFrames,
  poseFrames,
  relativeGeometry,
} from './pose-geometry'
import { PoseOutput } from './pose-output'
import { type CompleteSceneDiTConfig, completeConfig, type SceneDiTConfig } from './scene-dit-config'
import { type Timesteps, timestepSinusoids } from './timestep-embedding'
import { CrossAttention, SelfAttention } from './token-attention'

const XAVIER = { init: xavierUniform, biasInit: zeros }
const ZERO = { init: zeros, biasInit: zeros }
const SMALL = { init: normalInit({ std: 0.02 }), biasInit: zeros }
/** Width of the geometric bias's MLP. */
const GEOMETRY_HIDDEN = 32

export interface SceneDiTOptions {
  /** Draws the dropout of training: of conditions and of attention weights. */
  key?: RngKey
  /** bool [B, G], true for poses that exist. Default: all do. */
  poseMask?: Tensor
  /** Of a model with `anchors`: the frames [B, G] that poses are given from, and what `encodeAnchors` says of them. */
  anchors?: Anchors
}

export interface Anchors {
  readonly frames: PoseFrames
  /** [B, G, C] */
  readonly features: Tensor
}

type Condition = SceneCondition | EncodedCondition

export interface GuidedForwardOptions extends GuideOptions {
  /** What to move away from, from the least to the most conditioned. Default {}: no scene, no text. */
  against?: Condition | readonly Condition[]
  poseMask?: Tensor
  anchors?: Anchors
}

/** h [B, G, C] → the same. */
class SceneDiTBlock extends ConditionedBlock implements SceneBlock {
  readonly attn: SelfAttention
  readonly scene_attn: CrossAttention | undefined
  readonly geometric_bias: GeometricBias | undefined
  readonly distance_bias: DistanceBias | undefined
  readonly text_attn: CrossAttention | undefined
  readonly mlp: MLP

  constructor(
    device: Device,
    key: RngKey,
    private readonly config: CompleteSceneDiTConfig,
  ) {
    const { scene, textDim, hiddenSize: hidden, numHeads, mlpRatio, computeDtype } = config
    const [attention, sceneKey, geometry, text, mlp, modulation] = key.split(6)
    super(device, modulation, config, 2 + (scene ? 1 : 0) + (textDim > 0 ? 1 : 0))
    this.attn = new SelfAttention(device, attention, config)
    if (scene)
      this.scene_attn = new (config.pointValues ? LocatedCrossAttention : CrossAttention)(device, sceneKey, config)
    if (config.geometricBias) this.geometric_bias = new GeometricBias(device, geometry, numHeads, GEOMETRY_HIDDEN)
    if (config.distanceBias) this.distance_bias = new DistanceBias(device, numHeads)
    if (textDim > 0) this.text_attn = new CrossAttention(device, text, config)
    this.mlp = new MLP(device, mlp, hidden, Math.floor(hidden * mlpRatio), { ...XAVIER, computeDtype })
  }

  forward(poses: Tensor, inputs: BlockInputs, _count: number, key: RngKey | undefined): Tensor {
    const m = this.modulation(inputs.c)
    const { attn, scene_attn, text_attn, mlp } = this
    const { mask, scene, sceneMask, text, textMask } = inputs
    const [selfKey, sceneKey, textKey] = key?.split(3) ?? []
    const [selfDropout, crossDropout] = this.training
      ? [this.config.attentionDropout, this.config.crossAttentionDropout]
      : [0, 0]
    let index = 0
    let h = this.branch(index++, poses, m, (x, into) =>
      attn.forward(x, { keyMask: mask, dropout: selfDropout, rng: selfKey }, into),
    )
    if (scene && scene_attn) {
      const options = { keyMask: sceneMask, dropout: crossDropout, rng: sceneKey, ...this.sceneGeometry(inputs) }
      h = this.branch(index++, h, m, (x, into) => scene_attn.forward(x, scene, options, into))
    }
    if (text && text_attn) {
      const options = { keyMask: textMask, dropout: crossDropout, rng: textKey }
      h = this.branch(index++, h, m, (x, into) => text_attn.forward(x, text, options, into))
    }
    return this.branch(index, h, m, (x, into) => mlp.forward(x, into))
  }

  /** What the scene cross-attention knows of where things are. */
  private sceneGeometry(inputs: BlockInputs) {
    const { geometry, distanceQuery, distanceKey, posePositions, poseRotations, scenePositions } = inputs
    const frames = posePositions && { positions: posePositions, ...(poseRotations && { rotations: poseRotations }) }
    return {
      ...(frames && scenePositions && { places: { frames, positions: scenePositions } }),
      bias: geometry && this.geometric_bias?.forward(geometry),
      factoredBias: distanceQuery && distanceKey && this.distance_bias?.forward(distanceQuery, distanceKey),
    }
  }
}

export class SceneDiT extends Module {
  readonly x_embedder: MLP
  readonly pose_positions: Tensor | undefined
  readonly t_embedder: TimestepEmbedder
  readonly condition: ConditionEncoder
  readonly scene_pool: Linear | undefined
  readonly text_pool: Linear | undefined
  readonly time_gate: Linear | undefined
  readonly local: LocalEncoder | undefined
  readonly local_proj: Linear | undefined
  readonly anchor_encoder: AnchorEncoder | undefined
  readonly proposal: AnchorProposal | undefined
  readonly blocks: readonly SceneBlock[]
  readonly final_layer: PoseOutput
  readonly config: CompleteSceneDiTConfig

  /** @throws RangeError for sizes out of range and for options that do not go together. */
  constructor(
    readonly device: Device,
    key: RngKey,
    config: SceneDiTConfig,
  ) {
    super()
    this.config = completeConfig(config)
    const { poseDim, hiddenSize, depth, scene, textDim, blocks, local, anchors } = this.config
    const [xKey, positionKey, tKey, conditionKey, poolKey, gateKey, localKey, finalKey, ...blockKeys] = key.split(
      8 + depth,
    )
    const read = poseDim + (this.config.ownAxes ? 3 * FRAME_VECTORS[this.config.poseFrame as PoseFrameKind] : 0)
    this.x_embedder = new MLP(device, xKey, read, hiddenSize, { ...XAVIER, out: hiddenSize })
    if (this.config.posePositions === 'learned')
      this.pose_positions = parameter(SMALL.init(device, [1, this.config.maxPoses, hiddenSize], positionKey))
    this.t_embedder = new TimestepEmbedder(device, tKey, hiddenSize)
    this.condition = new ConditionEncoder(device, conditionKey, this.config)
    if (this.config.pooledCondition) {
      const [sceneKey, textKey] = poolKey.split(2)
      if (scene) this.scene_pool = new Linear(device, sceneKey, hiddenSize, hiddenSize, SMALL)
      if (textDim > 0) this.text_pool = new Linear(device, textKey, hiddenSize, hiddenSize, SMALL)
    }
    if (this.config.timeGate) this.time_gate = new Linear(device, gateKey, hiddenSize, hiddenSize, ZERO)
    if (scene && local) {
      const [encoderKey, projKey] = localKey.split(2)
      this.local = new LocalEncoder(device, encoderKey, scene.channels, local)
      this.local_proj = new Linear(device, projKey, this.local.width, hiddenSize, XAVIER)
    }
    if (scene && anchors) {
      const [encoderKey, proposalKey] = key.foldIn(depth).split(2)
      this.anchor_encoder = new AnchorEncoder(device, encoderKey, scene.channels, hiddenSize, anchors)
      this.proposal = new AnchorProposal(device, proposalKey, this.config)
    }
    this.blocks = blockKeys.map((blockKey, i) =>
      blocks === 'cross'
        ? new SceneDiTBlock(device, blockKey, this.config)
        : new DoubleStreamBlock(device, blockKey, this.config, i === depth - 1),
    )
    this.final_layer = new PoseOutput(device, finalKey, this.config)
  }

  /**
   * Poses x [B, G, poseDim] at timesteps t → the same shape. `condition` holds B samples, or one for all; what it leaves out is
   * "none". Flow matching passes 1000·t.
   * @throws RangeError when shapes do not fit; Error when training drops something and there is no key to draw it from.
   */
  forward(x: Tensor, t: Timesteps, condition: Condition = {}, options: SceneDiTOptions = {}): Tensor {
    const { poseMask, anchors } = options
    this.checkInput(x, poseMask, anchors)
    const [conditionKey, blockKey] = this.keys(condition, options.key)
    return scope(() => {
      const [batch, count] = x.shape
      const encoded = repeated(
        isEncoded(condition) ? condition : this.condition.forward(condition, conditionKey),
        batch,
      )
      const poses = poseMask ? clearPadding(x, poseMask) : x
      const own = this.frames(poses)
      const frames =
        own && anchors ? composed(poseMask ? clearFrames(anchors.frames, poseMask) : anchors.frames, own) : own
      const time = this.t_embedder.forward(timestepSinusoids('SceneDiT', this.device, batch, t))
      let h = this.poseTokens(poses, time, own, frames, encoded)
      if (anchors) h = add(h, poseMask ? clearPadding(anchors.features, poseMask) : anchors.features)
      let inputs = this.blockInputs(time, frames, encoded, poseMask)
      if (this.config.blocks === 'double-stream') [h, inputs] = joined(h, inputs)
      this.blocks.forEach((block, i) => {
        h = this.runBlock(block, h, inputs, count, blockKey?.foldIn(i))
      })
      const out = this.final_layer.forward(h, inputs.c, own)
      return poseMask ? clearPadding(out, poseMask) : out
    }, 'SceneDiT.forward')
  }

  /** What `forward` takes as a condition, encoded once for many steps of a sampler. */
  encode(
    condition: SceneCondition,
    options: { /** Draws the dropout of conditions in training. */ key?: RngKey } = {},
  ): EncodedCondition {
    return this.condition.forward(condition, options.key)
  }

  /** Of a model with `anchors`: what frames [B, Q] on the scene, those that `mask` names, know of themselves, [B, Q, C]; for `forward` and for the `proposal`. */
  encodeAnchors(frames: PoseFrames, encoded: EncodedCondition, mask?: Tensor): Tensor {
    const { anchor_encoder: encoder } = this
    if (!encoder) throw new Error('SceneDiT.encodeAnchors: the model has no anchors (config.anchors)')
    return scope(() => {
      const cleared = mask ? clearFrames(frames, mask) : frames
      return encoder.forward(cleared, repeated(encoded, frames.positions.shape[0]))
    })
  }

  /**
   * Classifier-free guidance, `guide` on the outputs under the conditions of `against` and then `condition`, which are to go from the
   * least to the most conditioned and run as one batch. By default `against` is no condition at all; the scene alone guides by the text
   * alone, another text is a negative prompt, and `[{}, { points, pointMask }]` takes a scale for the scene and one for the text.
   */
  forwardWithGuidance(
    x: Tensor,
    t: Timesteps,
    condition: Condition,
    scales: number | readonly number[],
    options: GuidedForwardOptions = {},
  ): Tensor {
    const { against = {}, poseMask, anchors, rescale } = options
    if (scales === 1) return this.forward(x, t, condition, { poseMask, anchors })
    return scope(() => {
      const branches = this.forwardEach(x, t, [...[against].flat(), condition], { poseMask, anchors })
      return guide(branches, scales, { rescale })
    }, 'SceneDiT.forwardWithGuidance')
  }

  /** `forward` under each of the conditions, as one batch. */
  forwardEach(x: Tensor, t: Timesteps, conditions: readonly Condition[], options: SceneDiTOptions = {}): Tensor[] {
    const batch = x.shape[0]
    const { poseMask, anchors, key } = options
    return scope(() => {
      const encoded = conditions.map(condition =>
        repeated(isEncoded(condition) ? condition : this.encode(condition), batch),
      )
      const times = conditions.length
      const sinusoids = timestepSinusoids('SceneDiT', this.device, batch, t)
      const all = <T extends Tensor | undefined>(part: T) => part && concat(new Array(times).fill(part), 0)
      const out = this.forward(all(x), all(sinusoids), batched(encoded), {
        key,
        poseMask: all(poseMask),
        anchors: anchors && {
          frames: { positions: all(anchors.frames.positions), rotations: all(anchors.frames.rotations) },
          features: all(anchors.features),
        },
      })
      return conditions.map((_, i) => slice(out, 0, i * batch, (i + 1) * batch))
    }, 'SceneDiT.forwardEach')
  }

  /** Pose tokens [B, G, C]. */
  private poseTokens(
    poses: Tensor,
    time: Tensor,
    own: PoseFrames | undefined,
    frames: PoseFrames | undefined,
    encoded: EncodedCondition,
  ): Tensor {
    const { points, pointMask } = encoded
    let h = this.x_embedder.forward(
      this.config.ownAxes && own ? concat([poses, this.alongOwnAxes(poses, own)], 2) : poses,
    )
    if (this.config.conditioning === 'none') h = add(h, unsqueeze(time, 1))
    if (this.pose_positions) h = add(h, slice(this.pose_positions, 1, 0, poses.shape[1]))
    if (this.local && this.local_proj && frames && points && pointMask)
      h = add(h, this.local_proj.forward(this.local.forward(frames, points, pointMask)))
    return h
  }

  /** The vectors that poses [B, G, d] start with, along each pose's own axes: [B, G, 3·vectors]. */
  private alongOwnAxes(poses: Tensor, frames: PoseFrames): Tensor {
    const [batch, count] = poses.shape
    const vectors = FRAME_VECTORS[this.config.poseFrame as PoseFrameKind]
    const own = inFrame(frames, reshape(slice(poses, 2, 0, 3 * vectors), [batch, count, vectors, 3]))
    return reshape(own, [batch, count, 3 * vectors])
  }

  private blockInputs(
    time: Tensor,
    frames: PoseFrames | undefined,
    { scene, sceneMask, scenePositions, text, textMask }: EncodedCondition,
    mask: Tensor | undefined,
  ): BlockInputs {
    const { geometricBias, distanceBias, pointValues } = this.config
    const gate = this.time_gate && unsqueeze(mul(sigmoid(this.time_gate.forward(time)), 2), 1)
    const gated = (tokens: Tensor | undefined) => (tokens && gate ? mul(tokens, gate) : tokens)
    let c = time
    if (this.scene_pool && scene && sceneMask) c = add(c, this.scene_pool.forward(maskedMean(scene, sceneMask)))
    if (this.text_pool && text && textMask) c = add(c, this.text_pool.forward(maskedMean(text, textMask)))
    const inputs: BlockInputs = { c, mask, scene: gated(scene), sceneMask, text: gated(text), textMask }
    if (!frames || !scenePositions) return inputs
    if (pointValues)
      Object.assign(inputs, { posePositions: frames.positions, poseRotations: frames.rotations, scenePositions })
    if (geometricBias) inputs.geometry = relativeGeometry(frames, scenePositions)
    if (distanceBias) {
      const { query, key } = distanceFactors(frames, scenePositions)
      Object.assign(inputs, { distanceQuery: query, distanceKey: key })
    }
    return inputs
  }

  /** Without a tape, a block's activations go before the next block makes its own. */
  private runBlock(block: SceneBlock, h: Tensor, inputs: BlockInputs, count: number, key: RngKey | undefined): Tensor {
    const given = Object.entries(inputs).filter(([, tensor]) => tensor)
    const forward = (h: Tensor, ...tensors: Tensor[]) => {
      const named = Object.fromEntries(given.map(([name], i) => [name, tensors[i]]))
      return block.forward(h, named as unknown as BlockInputs, count, key)
    }
    const tensors = given.map(([, tensor]) => tensor)
    return scope(
      () => (this.config.recomputeBlocks ? recompute(forward, h, ...tensors) : forward(h, ...tensors)),
      'SceneDiTBlock.forward',
    )
  }

  /** The frames of poses, in the coordinates in which they are given. */
  private frames(poses: Tensor): PoseFrames | undefined {
    const { poseFrame, positionScale } = this.config
    return poseFrame === 'none' ? undefined : poseFrames(poses, poseFrame, positionScale)
  }

  /** Keys of the dropout of conditions and of the blocks. */
  private keys(condition: Condition, key: RngKey | undefined): RngKey[] {
    const { scene, textDim, sceneDropout, textDropout, jointDropout, attentionDropout, crossAttentionDropout } =
      this.config
    if (!this.training) return []
    if (key) return key.split(2)
    const drops = (scene ? sceneDropout + jointDropout : 0) + (textDim > 0 ? textDropout + jointDropout : 0)
    if (attentionDropout + crossAttentionDropout > 0 || (drops > 0 && !isEncoded(condition)))
      throw new Error('SceneDiT: dropout in training needs a key: forward(x, t, condition, { key }), or call eval()')
    return []
  }

  private checkInput(x: Tensor, poseMask: Tensor | undefined, anchors: Anchors | undefined): void {
    const { poseDim, posePositions, maxPoses, hiddenSize } = this.config
    if (x.rank !== 3 || x.shape[2] !== poseDim || x.size === 0)
      throw new RangeError(`SceneDiT: x has shape [${x.shape.join(', ')}], expected [B, G, ${poseDim}]`)
    if (posePositions === 'learned' && x.shape[1] > maxPoses)
      throw new RangeError(
        `SceneDiT: x has ${x.shape[1]} poses but there are learned positions for ${maxPoses} (maxPoses)`,
      )
    if ((anchors !== undefined) !== (this.config.anchors !== undefined))
      throw new RangeError(
        this.config.anchors
          ? 'SceneDiT: options.anchors is missing (frames of points of the scene, see `encodeAnchors` and `proposal`)'
          : 'SceneDiT: options.anchors was given to a model without anchors',
      )
    for (const [name, tensor, rest] of [
      ['frames.positions', anchors?.frames.positions, [3]],
      ['frames.rotations', anchors?.frames.rotations, [3, 3]],
      ['features', anchors?.features, [hiddenSize]],
    ] as const) {
      const expected = [...x.shape.slice(0, 2), ...rest]
      if (anchors && String(tensor?.shape) !== String(expected))
        throw new RangeError(
          `SceneDiT: anchors.${name} has shape [${tensor?.shape.join(', ')}], expected [${expected.join(', ')}]`,
        )
    }
    if (poseMask) checkMask('SceneDiT', 'poseMask', poseMask, x.shape.slice(0, 2))
  }
}

/** Poses and their context as one list of tokens, for double-stream blocks. */
function joined(poses: Tensor, { c, mask, scene, sceneMask, text, textMask }: BlockInputs): [Tensor, BlockInputs] {
  const all = poses.device.full(poses.shape.slice(0, 2), 1, { dtype: 'bool' })
  const present = (tensors: (Tensor | undefined)[]) => tensors.filter(tensor => tensor !== undefined)
  const masks = concat(present([mask ?? all, sceneMask, textMask]), 1)
  return [concat(present([poses, scene, text]), 1), { c, mask: masks }]
}

function isEncoded(condition: Condition): condition is EncodedCondition {
  return 'encoded' in condition
}
