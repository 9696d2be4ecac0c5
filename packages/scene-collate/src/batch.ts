// What collateScenes gives: the scenes of a batch in flat host arrays, padded to one length or packed end to end.

import type { FieldData, SceneTransform } from './scene'

/** Row-major values and their shape. */
export interface BatchArray {
  readonly data: FieldData
  readonly shape: readonly number[]
}

/** Rows of all scenes padded to one length R: data [B, R, width]. */
export interface PaddedRows extends BatchArray {
  /** [B, R]: 1 = a row of the scene, 0 = padding. */
  readonly mask: Uint8Array
  /** [B]: the first `lengths[b]` rows of scene b are its own. */
  readonly lengths: Int32Array
}

/** Rows of all scenes end to end: data [1, total, width]. */
export interface PackedRows extends BatchArray {
  /** [B + 1]: scene b has rows offsets[b] … offsets[b + 1] − 1. */
  readonly offsets: Int32Array
  /** [B] */
  readonly lengths: Int32Array
}

interface BatchParts {
  /** Number of scenes, B. */
  readonly size: number
  /** Names of the scenes; '' for one without. */
  readonly names: readonly string[]
  /** Per point: padded [B, P, width], with the points' mask; packed [1, total, width], with their offsets. */
  readonly fields: Readonly<Record<string, BatchArray>>
  /** One row per scene: [B, width]. */
  readonly vectors: Readonly<Record<string, BatchArray>>
  /** [B] strings each. */
  readonly texts: Readonly<Record<string, readonly string[]>>
  /** How each scene was moved since it was read (normalisation, augmentation); undo it with `invertTransform`. */
  readonly transforms: readonly SceneTransform[]
}

/** Points are [B, P, 3]. */
export interface PaddedBatch extends BatchParts {
  readonly layout: 'padded'
  readonly points: PaddedRows
  readonly sets: Readonly<Record<string, PaddedRows>>
}

/** Points are [1, total, 3]. */
export interface PackedBatch extends BatchParts {
  readonly layout: 'packed'
  readonly points: PackedRows
  readonly sets: Readonly<Record<string, PackedRows>>
}

export type SceneBatch = PaddedBatch | PackedBatch

/** The share of a batch's points that is padding, from 0 to 1. */
export function paddingWaste(batch: SceneBatch): number {
  const slots = batch.points.shape[0] * batch.points.shape[1]
  return slots === 0 ? 0 : 1 - batch.points.lengths.reduce((sum, n) => sum + n, 0) / slots
}
