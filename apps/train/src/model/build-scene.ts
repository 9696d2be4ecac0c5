// The SceneDiT a configuration describes.

import type { Device, RngKey } from '@ditkit/core'
import { type LocalConfig, SceneDiT, type SceneEncoderConfig } from '@ditkit/dit-model'
import type { Config } from '../config/schema'
import { ANCHORED_UNIT } from '../grasp/anchor'
import { POINT_CHANNELS, UNIT } from '../grasp/model-scene'
import { POSE_SIZE } from '../grasp/pose'
import { TEXT_WIDTH } from '../text/embed'

/** Where a grasp looks, along approach and closing axis: between its fingers, at them, and at the palm. In the model's units. */
const GRIPPER: LocalConfig['centres'] = [
  [0, 0, 0],
  [0, 0.03 / UNIT, 0],
  [0, -0.03 / UNIT, 0],
  [-0.04 / UNIT, 0, 0],
]
/** Where an anchor looks, along its normal: around it, and as deep as the gripper opens. */
const BENEATH: LocalConfig['centres'] = [
  [0, 0, 0],
  [-0.02 / UNIT, 0, 0],
  [-0.04 / UNIT, 0, 0],
  [-0.065 / UNIT, 0, 0],
]

export function buildSceneModel(device: Device, key: RngKey, config: Config): SceneDiT {
  const { hidden, layers, heads, mlp_ratio, compute_dtype } = config.model
  const { scene } = config
  return new SceneDiT(device, key, {
    poseDim: POSE_SIZE,
    hiddenSize: hidden,
    depth: layers,
    numHeads: heads,
    mlpRatio: mlp_ratio,
    scene: encoder(config),
    textDim: TEXT_WIDTH,
    sceneDropout: scene.scene_dropout,
    textDropout: scene.text_dropout,
    jointDropout: scene.joint_dropout,
    blocks: scene.blocks,
    conditioning: scene.conditioning,
    pooledCondition: scene.pooled,
    timeGate: scene.time_gate,
    posePositions: scene.pose_positions,
    maxPoses: config.data.kind === 'objects' ? config.data.grasps : 1,
    poseFrame: scene.pose_frame,
    positionScale: scene.anchors ? ANCHORED_UNIT : 1,
    geometricBias: scene.geometric_bias,
    distanceBias: scene.distance_bias,
    pointValues: scene.point_values,
    ownAxes: scene.own_axes,
    anchors: scene.anchors ? { neighbors: scene.anchor_neighbors, normals: true, centres: BENEATH } : undefined,
    local:
      scene.local_neighbors > 0
        ? {
            neighbors: scene.local_neighbors,
            normals: true,
            centres: scene.pose_frame === 'rotation-6d' ? GRIPPER : undefined,
          }
        : undefined,
    attentionDropout: scene.attention_dropout,
    crossAttentionDropout: scene.cross_attention_dropout,
    qkNorm: scene.qk_norm,
    recomputeBlocks: config.train.recompute,
    computeDtype: compute_dtype,
  })
}

function encoder({ scene, model }: Config): SceneEncoderConfig {
  const { tokens, neighbors } = scene
  const channels = POINT_CHANNELS
  switch (scene.encoder) {
    case 'set-abstraction':
      return { type: 'set-abstraction', channels, levels: [{ points: tokens, neighbors, widths: [64, 128] }] }
    case 'pointnet':
      return { type: 'pointnet', channels }
    case 'perceiver':
      return { type: 'perceiver', channels, latents: tokens, width: model.hidden, numHeads: model.heads, depth: 2 }
  }
}
