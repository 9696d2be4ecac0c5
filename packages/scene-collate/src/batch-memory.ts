// Memory of batches that are done with, for those that come: fresh memory costs several times what copying into it does.

import type { SceneBatch } from './batch'
import type { FieldData } from './scene'

/** Smaller arrays are made anew. */
const LEAST_BYTES = 1 << 14

export class BatchMemory {
  private readonly free: ArrayBuffer[] = []

  /** Takes over buffers; whoever had them must not use them any more. */
  give(buffers: readonly ArrayBuffer[]): void {
    this.free.push(...buffers.filter(({ byteLength }) => byteLength >= LEAST_BYTES))
    this.free.sort((a, b) => a.byteLength - b.byteLength)
  }

  /** An array of the kind of `data`. Its content is whatever was there. */
  array(data: FieldData, length: number): FieldData {
    const kind = data.constructor as Float32ArrayConstructor
    const bytes = length * kind.BYTES_PER_ELEMENT
    if (bytes < LEAST_BYTES) return new kind(length)
    const fitting = this.free.findIndex(({ byteLength }) => byteLength >= bytes)
    if (fitting >= 0) return new kind(this.free.splice(fitting, 1)[0] as ArrayBuffer, 0, length)
    // The smallest makes room for the larger one, so that there never are more than are in use at once.
    this.free.shift()
    return new kind(new ArrayBuffer(Math.ceil(bytes / LEAST_BYTES) * LEAST_BYTES), 0, length)
  }
}

/** All memory of a batch, to be moved to another thread or used again. */
export function buffersOf({ points, fields, sets, vectors }: SceneBatch): ArrayBuffer[] {
  const rows = [points, ...Object.values(sets)]
  const arrays = [
    ...[...rows, ...Object.values(fields), ...Object.values(vectors)].map(({ data }) => data),
    ...rows.flatMap(each => [each.lengths, 'mask' in each ? each.mask : each.offsets]),
  ]
  return arrays.map(array => array.buffer as ArrayBuffer)
}
