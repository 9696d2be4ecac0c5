// A batch on a device.

import { type Device, disposeAll, type Tensor } from '@ditkit/core'
import type { BatchArray, PackedBatch, PackedRows, PaddedBatch, PaddedRows, SceneBatch } from './batch'
import { mapFields } from './select-points'

/** Rows padded to R: values [B, R, width], mask bool [B, R], lengths i32 [B]. */
export interface PaddedTensors {
  readonly values: Tensor
  readonly mask: Tensor
  readonly lengths: Tensor
}

/** Rows end to end: values [1, total, width], offsets i32 [B + 1], lengths i32 [B]. */
export interface PackedTensors {
  readonly values: Tensor
  readonly offsets: Tensor
  readonly lengths: Tensor
}

export interface BatchTensors<Rows extends PaddedTensors | PackedTensors = PaddedTensors> {
  readonly points: Rows
  /** Per point, with the points' mask or offsets. */
  readonly fields: Readonly<Record<string, Tensor>>
  readonly sets: Readonly<Record<string, Rows>>
  /** [B, width] */
  readonly vectors: Readonly<Record<string, Tensor>>
  /** Frees all of it. */
  dispose(): void
}

/**
 * Uploads a batch. Float32Array becomes the device's float dtype, Int32Array i32, Uint8Array bool. `points.mask` and `points.lengths` go into
 * attention as `keyMask` and `keyLengths`, a packed batch's `points.offsets` as one of its `offsets`.
 */
export function batchTensors(batch: PaddedBatch, device: Device): BatchTensors<PaddedTensors>
export function batchTensors(batch: PackedBatch, device: Device): BatchTensors<PackedTensors>
export function batchTensors(batch: SceneBatch, device: Device): BatchTensors<PaddedTensors | PackedTensors>
export function batchTensors(batch: SceneBatch, device: Device): BatchTensors<PaddedTensors | PackedTensors> {
  const made: Tensor[] = []
  const upload = (data: BatchArray['data'], shape: readonly number[]) => {
    const tensor = device.tensor(data, shape)
    made.push(tensor)
    return tensor
  }
  const rows = (array: PaddedRows | PackedRows): PaddedTensors | PackedTensors => {
    const values = upload(array.data, array.shape)
    const lengths = upload(array.lengths, [array.lengths.length])
    if ('mask' in array) return { values, mask: upload(array.mask, array.shape.slice(0, 2)), lengths }
    return { values, offsets: upload(array.offsets, [array.offsets.length]), lengths }
  }
  return {
    points: rows(batch.points),
    fields: mapFields(batch.fields, ({ data, shape }) => upload(data, shape)),
    sets: mapFields<PaddedRows | PackedRows, PaddedTensors | PackedTensors>(batch.sets, rows),
    vectors: mapFields(batch.vectors, ({ data, shape }) => upload(data, shape)),
    dispose: () => disposeAll(made),
  }
}
