// Small SceneDiTs on weights and inputs that Python computes too (tooling/oracle/scene_dit_fixtures.py), and a scene to look at.

import { add, type Device, mul, rngKey, type Tensor } from '@ditkit/core'
import type { Module } from '@ditkit/nn'
import { hashNormal, hashWeight } from '@ditkit/oracle'
import {
  poseFrames,
  type SceneCondition,
  SceneDiT,
  type SceneDiTConfig,
  type SceneDiTOptions,
  type Timesteps,
} from '../src'

/** Gives a module the hashed values of its weights' names, none of them zero. */
export async function setHashed(module: Module, prefix: string): Promise<void> {
  const weights = Array.from(module.namedParameters(), ([name, { shape }]) => {
    return [name, { shape, dtype: 'f32', data: hashWeight(prefix + name, shape) }] as const
  })
  await module.loadStateDict(new Map(weights), { strict: false })
}

/** A SceneDiT of hashed weights, not training. */
export async function hashedSceneDiT(device: Device, config: SceneDiTConfig, prefix: string): Promise<SceneDiT> {
  const model = new SceneDiT(device, rngKey(0), config).eval()
  await setHashed(model, prefix)
  return model
}

export const POINTNET: SceneDiTConfig = {
  poseDim: 10,
  hiddenSize: 16,
  depth: 2,
  numHeads: 2,
  scene: { type: 'pointnet', channels: 6, widths: [8, 12] },
  textDim: 5,
}

/** Everything that goes together with cross-attention. */
export const LOCATED: SceneDiTConfig = {
  ...POINTNET,
  scene: {
    type: 'set-abstraction',
    channels: 6,
    levels: [
      { points: 7, neighbors: 5, radius: 1.5, widths: [8, 8] },
      { points: 5, neighbors: 4, widths: [12] },
    ],
  },
  pooledCondition: true,
  timeGate: true,
  posePositions: 'learned',
  poseFrame: 'rotation-6d',
  positionScale: 0.5,
  geometricBias: true,
  pointValues: true,
  ownAxes: true,
  distanceBias: true,
  local: { neighbors: 3, widths: [8] },
  qkNorm: true,
}

/** Poses are given from frames on the scene. */
export const ANCHORED: SceneDiTConfig = {
  ...LOCATED,
  anchors: {
    neighbors: 3,
    widths: [8],
    centres: [
      [0, 0, 0],
      [-0.5, 0, 0],
    ],
  },
}

export const PERCEIVER: SceneDiTConfig = {
  ...POINTNET,
  scene: { type: 'perceiver', channels: 6, widths: [8], latents: 3, width: 8, numHeads: 2, depth: 2 },
  local: { neighbors: 3, widths: [8] },
  poseFrame: 'quaternion',
}

export const DOUBLE_STREAM: SceneDiTConfig = {
  ...POINTNET,
  blocks: 'double-stream',
  scene: { type: 'set-abstraction', channels: 6, levels: [{ points: 5, neighbors: 4, widths: [8, 12] }] },
  qkNorm: true,
}

/** Values on the host, so that a test can change or reorder them before they become tensors. */
export interface HostBatch {
  x: Float32Array
  /** A position and two columns of a rotation for each pose: where an anchored one is given from. */
  anchors: Float32Array
  points: Float32Array
  text: Float32Array
  poseMask: Uint8Array
  pointMask: Uint8Array
  textMask: Uint8Array
  sizes: { batch: number; poses: number; points: number; tokens: number }
}

export const POSE = 10
export const FRAME = 9
export const POINT = 6
export const WORD = 5

/** Samples with fewer and fewer valid poses, points and words. */
export function hostBatch(name: string, batch = 3, poses = 3, points = 11, tokens = 4): HostBatch {
  const mask = (length: number, less: number) => {
    return Uint8Array.from({ length: batch * length }, (_, i) => {
      return i % length < length - less * Math.floor(i / length) ? 1 : 0
    })
  }
  return {
    x: hashNormal(`${name}/x`, [batch, poses, POSE]),
    anchors: hashNormal(`${name}/anchors`, [batch, poses, FRAME]),
    points: hashNormal(`${name}/points`, [batch, points, POINT]),
    text: hashNormal(`${name}/text`, [batch, tokens, WORD]),
    poseMask: mask(poses, 1),
    pointMask: mask(points, 3),
    textMask: mask(tokens, 1),
    sizes: { batch, poses, points, tokens },
  }
}

export interface DeviceBatch {
  x: Tensor
  anchors: Tensor
  poseMask: Tensor
  condition: Required<SceneCondition>
}

export function onDevice(device: Device, host: HostBatch): DeviceBatch {
  const { batch, poses, points, tokens } = host.sizes
  const floats = (data: Float32Array, shape: number[]) => device.tensor(data, shape, { requiresGrad: true })
  return {
    x: floats(host.x, [batch, poses, POSE]),
    anchors: device.tensor(host.anchors, [batch, poses, FRAME]),
    poseMask: device.tensor(host.poseMask, [batch, poses]),
    condition: {
      points: floats(host.points, [batch, points, POINT]),
      pointMask: device.tensor(host.pointMask, [batch, points]),
      text: floats(host.text, [batch, tokens, WORD]),
      textMask: device.tensor(host.textMask, [batch, tokens]),
    },
  }
}

/** What `forward` gives, of an anchored model for poses given from the batch's anchors; and the proposal's logits for those. */
export function outputs(
  model: SceneDiT,
  { x, anchors, poseMask, condition }: DeviceBatch,
  t: Timesteps,
  options: Pick<SceneDiTOptions, 'poseMask' | 'key'>,
): { out: Tensor; logits?: Tensor } {
  if (!model.proposal) return { out: model.forward(x, t, condition, options) }
  const encoded = model.encode(condition)
  const frames = poseFrames(anchors, 'rotation-6d', 1)
  const features = model.encodeAnchors(frames, encoded, poseMask)
  const out = model.forward(x, t, encoded, { ...options, anchors: { frames, features } })
  const { shape, named } = model.proposal.forward(features, encoded)
  return { out, logits: add(shape, mul(named, 2)) }
}

export function disposeBatch({ x, anchors, poseMask, condition }: DeviceBatch): void {
  for (const tensor of [x, anchors, poseMask, ...Object.values(condition)]) tensor.dispose()
}
