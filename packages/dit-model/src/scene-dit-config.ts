// The options of a SceneDiT, their defaults, and which of them go together.

import type { ComputeDType } from '@ditkit/core'
import type { Conditioning } from './conditioned-block'
import type { LocalConfig } from './encoders/local'
import type { SceneEncoderConfig } from './encoders/scene-encoder'
import { FRAME_CHANNELS, type PoseFrameKind } from './pose-geometry'

export interface SceneDiTConfig {
  /** Numbers of a pose. */
  poseDim: number
  hiddenSize: number
  depth: number
  numHeads: number
  /** Width of the MLP over hiddenSize. Default 4. */
  mlpRatio?: number
  /** What turns points into tokens. Default: none, the model sees no scene. */
  scene?: SceneEncoderConfig
  /** Width of the text embeddings. Default 0: no text. */
  textDim?: number
  /** How often training shows a sample without its scene alone, its text alone, and without both. Default 0.05 each. */
  sceneDropout?: number
  textDropout?: number
  jointDropout?: number
  /** 'cross': self-attention, then cross-attention to the scene, then to the text; 'double-stream': MMDiT. Default 'cross'. */
  blocks?: 'cross' | 'double-stream'
  /** How time reaches the blocks' norms; with 'none' it is added to the pose tokens instead. Default 'adaLN-Zero'. */
  conditioning?: Conditioning
  /** Adds the means of scene and text tokens to the time that conditions the norms. Default false. */
  pooledCondition?: boolean
  /** Multiplies scene and text tokens by 2·sigmoid of a function of time, which is 1 at first. Default false. */
  timeGate?: boolean
  /** 'learned': pose g of a sample is told that it is number g, of at most `maxPoses`. Default 'none': poses are a set. */
  posePositions?: 'none' | 'learned'
  /** Default 64. */
  maxPoses?: number
  /** How a pose says where it is and which way it faces. Default 'none': it does not. */
  poseFrame?: PoseFrameKind | 'none'
  /** Units of the points in one unit of a pose's position. Default 1. */
  positionScale?: number
  /** Bias of the scene cross-attention from offset, direction and distance in the looking pose's frame, by a small MLP. Default false. */
  geometricBias?: boolean
  /** Bias of the scene cross-attention by the squared distance from pose to token, as factors of rank 5. Default false. */
  distanceBias?: boolean
  /** The scene cross-attention also reads where that is which it looks at, in the looking pose's frame (located-attention.ts). Default false. */
  pointValues?: boolean
  /**
   * A pose's vectors (position; columns of a 'rotation-6d') are also read along the pose's own axes, and the output's are sums of vectors
   * along the axes of the world and along its own: what is learned of one orientation then holds for others. Default false.
   */
  ownAxes?: boolean
  /** Poses are given from frames on the scene (anchors.ts), which know what is around them. Default: from the origin. */
  anchors?: LocalConfig
  /** Adds to each pose what is around it. Default: nothing. */
  local?: LocalConfig
  /** Dropout on the weights of self-attention (of the joint attention in 'double-stream'), and of cross-attention. Default 0. */
  attentionDropout?: number
  crossAttentionDropout?: number
  /** RMS norm of queries and keys, per head. Default false. */
  qkNorm?: boolean
  /** Keeps only the blocks' inputs and computes their activations again in backward. Default false. */
  recomputeBlocks?: boolean
  /** What the blocks' products over tokens round their operands to, as in DiT. Default 'f32'. */
  computeDtype?: ComputeDType
}

/** With every default filled in. */
export type CompleteSceneDiTConfig = Required<Omit<SceneDiTConfig, 'scene' | 'local' | 'anchors'>> & {
  scene: SceneEncoderConfig | undefined
  local: LocalConfig | undefined
  anchors: LocalConfig | undefined
}

/** @throws RangeError for sizes out of range and for options that do not go together. */
export function completeConfig(config: SceneDiTConfig): CompleteSceneDiTConfig {
  const complete: CompleteSceneDiTConfig = {
    mlpRatio: 4,
    scene: undefined,
    textDim: 0,
    sceneDropout: 0.05,
    textDropout: 0.05,
    jointDropout: 0.05,
    blocks: 'cross',
    conditioning: 'adaLN-Zero',
    pooledCondition: false,
    timeGate: false,
    posePositions: 'none',
    maxPoses: 64,
    poseFrame: 'none',
    positionScale: 1,
    geometricBias: false,
    distanceBias: false,
    pointValues: false,
    ownAxes: false,
    anchors: undefined,
    local: undefined,
    attentionDropout: 0,
    crossAttentionDropout: 0,
    qkNorm: false,
    recomputeBlocks: false,
    computeDtype: 'f32',
    ...Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined)),
  } as CompleteSceneDiTConfig
  check(complete)
  return complete
}

function check(config: CompleteSceneDiTConfig): void {
  const { poseDim, hiddenSize, numHeads, scene, textDim, blocks, poseFrame, conditioning } = config
  const must = (holds: boolean, what: string) => {
    if (!holds) throw new RangeError(`SceneDiT: ${what}`)
  }
  for (const name of ['poseDim', 'hiddenSize', 'numHeads', 'maxPoses'] as const)
    must(
      Number.isInteger(config[name]) && config[name] > 0,
      `${name} is ${config[name]}, expected a whole number above 0`,
    )
  must(hiddenSize % numHeads === 0, `numHeads ${numHeads} does not divide hiddenSize ${hiddenSize}`)
  for (const name of [
    'sceneDropout',
    'textDropout',
    'jointDropout',
    'attentionDropout',
    'crossAttentionDropout',
  ] as const)
    must(config[name] >= 0 && config[name] < 1, `${name} is ${config[name]}, expected 0 ≤ ${name} < 1`)
  const missing = config.sceneDropout + config.textDropout + config.jointDropout
  must(missing <= 1, `sceneDropout, textDropout and jointDropout add up to ${missing}, expected at most 1`)
  for (const [name, known] of Object.entries(CHOICES)) {
    const value = config[name as keyof typeof CHOICES]
    must((known as readonly string[]).includes(value), `${name} is '${value}', expected one of ${known.join(', ')}`)
  }

  const conditioned = scene !== undefined || textDim > 0
  must(conditioned || blocks === 'cross', "blocks 'double-stream' need a scene or a text to be the second stream")
  must(conditioned || !config.pooledCondition, 'pooledCondition needs a scene or a text')
  must(conditioned || !config.timeGate, 'timeGate needs a scene or a text to act on')
  must(conditioning !== 'none' || !config.pooledCondition, "pooledCondition needs conditioning 'adaLN' or 'adaLN-Zero'")
  must(
    blocks === 'cross' || config.crossAttentionDropout === 0,
    "crossAttentionDropout needs blocks 'cross': 'double-stream' has one attention, whose dropout is attentionDropout",
  )
  for (const name of ['geometricBias', 'distanceBias', 'pointValues'] as const) {
    must(!config[name] || blocks === 'cross', `${name} needs blocks 'cross'`)
    must(!config[name] || poseFrame !== 'none', `${name} needs a poseFrame, to know where a pose is`)
    must(
      !config[name] || scene?.type === 'set-abstraction',
      `${name} needs scene tokens that have positions (scene.type 'set-abstraction')`,
    )
  }
  must(
    !config.ownAxes || poseFrame === 'rotation-6d' || poseFrame === 'quaternion',
    "ownAxes needs a poseFrame with a rotation ('rotation-6d' or 'quaternion')",
  )
  must(!config.anchors || scene !== undefined, 'anchors need a scene')
  must(
    !config.anchors || poseFrame === 'rotation-6d' || poseFrame === 'quaternion',
    "anchors need a poseFrame with a rotation ('rotation-6d' or 'quaternion')",
  )
  must(!config.local || scene !== undefined, 'local needs a scene')
  must(!config.local || poseFrame !== 'none', 'local needs a poseFrame, to know where a pose is')
  const frame = poseFrame === 'none' ? 0 : FRAME_CHANNELS[poseFrame]
  must(frame <= poseDim, `poseFrame '${poseFrame}' takes ${frame} numbers of a pose but poseDim is ${poseDim}`)
}

const CHOICES = {
  blocks: ['cross', 'double-stream'],
  conditioning: ['none', 'adaLN', 'adaLN-Zero'],
  posePositions: ['none', 'learned'],
  poseFrame: ['none', 'position', 'rotation-6d', 'quaternion'],
} as const satisfies Partial<Record<keyof SceneDiTConfig, readonly string[]>>
