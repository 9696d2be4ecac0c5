// A batch whose grasps are given from points of their scenes.

import { concat, type Device, type RngKey, type Tensor } from '@ditkit/core'
import type { PoseFrames } from '@ditkit/dit-model'
import { type PaddedBatch, pointUniforms } from '@ditkit/scene-collate'
import { AnchorFrames, framesAt, randomRows, type Surface, touchedPoint } from './anchor'
import { CLEARANCE } from './derive'
import { UNIT } from './model-scene'
import { POSE_SIZE } from './pose'

/** The points of each scene. */
export function surfacesOf({ points, fields }: PaddedBatch): Surface[] {
  const [, most] = points.shape
  return Array.from(points.lengths, (length, b) => {
    const part = ({ data }: { data: ArrayLike<number> }) =>
      (data as Float32Array).subarray(b * most * 3, (b * most + length) * 3)
    return { points: part(points), normals: part(fields.normals) }
  })
}

export interface AnchoredGrasps {
  /** [B, G, 10]: each from the point that a finger touches. */
  readonly vectors: Float32Array
  /** Of each scene, G of its grasps. */
  readonly anchors: readonly AnchorFrames[]
}

/** The grasps of a batch from the points that the finger on the side of their closing axes touches. */
export function anchorGrasps(batch: PaddedBatch): AnchoredGrasps {
  const { data, shape } = batch.sets.grasps
  const [, count] = shape
  const vectors = Float32Array.from(data as Float32Array)
  const anchors = surfacesOf(batch).map((surface, b) => {
    const frames = new AnchorFrames(count)
    const own = vectors.subarray(b * count * POSE_SIZE, (b + 1) * count * POSE_SIZE)
    for (let g = 0; g < count; g++) {
      frames.set(g, surface, touchedPoint(surface, own, g, CLEARANCE, UNIT))
      frames.move(own, g, g, 'anchor')
    }
    return frames
  })
  return { vectors, anchors }
}

/**
 * As many points of each scene as there are, up to `count`, then the same again: a function of the points, the key and the scene's number
 * (its place, counted from `first`), not of the points' order.
 */
export function drawnOf(batch: PaddedBatch, count: number, key: RngKey, first: number): AnchorFrames[] {
  return surfacesOf(batch).map((surface, b) => {
    const draws = pointUniforms(surface.points, key.foldIn(first + b))
    const order = Int32Array.from(draws, (_, i) => i).sort((i, j) => draws[i] - draws[j])
    return framesAt(
      surface,
      Int32Array.from({ length: count }, (_, i) => order[i % order.length]),
    )
  })
}

/** As many points of each scene, at random: their rows and their frames. */
export function randomOf(batch: PaddedBatch, count: number, key: RngKey): { rows: Int32Array; frames: AnchorFrames }[] {
  return surfacesOf(batch).map((surface, b) => {
    const rows = randomRows(surface.points.length / 3, count, key.foldIn(b))
    return { rows, frames: framesAt(surface, rows) }
  })
}

/** [B, G] frames on the device; the caller frees them. */
export function frameTensors(device: Device, frames: readonly AnchorFrames[]): Required<PoseFrames> {
  const [batch, count] = [frames.length, frames[0].count]
  const all = (part: (frames: AnchorFrames) => Float32Array, width: number) => {
    const values = new Float32Array(batch * count * width)
    for (const [b, each] of frames.entries()) values.set(part(each), b * count * width)
    return values
  }
  return {
    positions: device.tensor(
      all(({ positions }) => positions, 3),
      [batch, count, 3],
    ),
    rotations: device.tensor(
      all(({ rotations }) => rotations, 9),
      [batch, count, 3, 3],
    ),
  }
}

/** Frames [B, G] and then others [B, Q] as one list. */
export function joinedFrames(first: Required<PoseFrames>, second: Required<PoseFrames>): Required<PoseFrames> {
  const joined = (name: 'positions' | 'rotations'): Tensor => concat([first[name], second[name]], 1)
  return { positions: joined('positions'), rotations: joined('rotations') }
}
