// A scene as the grasp model sees it: in units of 5 cm, above the origin, and the table, where there is one, at z = 0.

import { concat, type Device } from '@ditkit/core'
import type { SceneCondition } from '@ditkit/dit-model'
import {
  applyTransform,
  batchTensors,
  invertTransform,
  type PaddedBatch,
  type Part,
  type Scene,
  type SceneTransform,
  transformValues,
} from '@ditkit/scene-collate'

/** Numbers of a point: x, y, z and the normal. */
export const POINT_CHANNELS = 6
/** What the numbers of a pose vector mean; see `writePose`. */
export const POSE_PARTS: readonly Part[] = ['position', 'rotation-6d', 'length']

/** Metres in one of the model's units. */
export const UNIT = 0.05

/** The scene (metres, z up, z = 0 the table) turned by `yaw` radians, its points' mean above the origin, in the model's units. */
export function toModelScene(scene: Scene, yaw = 0): Scene {
  const [x, y] = meanXY(scene.points)
  const [cos, sin] = [Math.cos(yaw), Math.sin(yaw)]
  return applyTransform(scene, {
    rotation: [Math.cos(yaw / 2), 0, 0, Math.sin(yaw / 2)],
    scale: 1 / UNIT,
    translation: [-(cos * x - sin * y) / UNIT, -(sin * x + cos * y) / UNIT, 0],
  })
}

/** Pose vectors [G, 10] of the model, back in the coordinates that the scene was read in. */
export function posesFromModel(vectors: Float32Array, transform: SceneTransform): Float32Array {
  return transformValues(vectors, POSE_PARTS, invertTransform(transform))
}

/** Points with normals [B, P, 6], their mask, and the texts' embeddings [B, E] where there are any, on the device. The caller frees them. */
export function conditionOf(batch: PaddedBatch, texts: Float32Array | undefined, device: Device): SceneCondition {
  const { points, fields } = batchTensors(batch, device)
  return {
    points: concat([points.values, fields.normals], 2),
    pointMask: points.mask,
    ...(texts && { text: device.tensor(texts, [batch.size, texts.length / batch.size]) }),
  }
}

function meanXY(points: Float32Array): [number, number] {
  let [x, y] = [0, 0]
  for (let i = 0; i < points.length; i += 3) {
    x += points[i]
    y += points[i + 1]
  }
  const count = Math.max(1, points.length / 3)
  return [x / count, y / count]
}
