// Memory of batches that are done with, for those that come: fresh memory costs several times what copying into it does.

import type { SceneBatch } from './batch'
import type { FieldData } from './scene'

/** An array of the kind of `like`. Its content may be whatever was there. */
export type MakeArray = (like: FieldData, length: number) => FieldData

/** An array with memory of its own. */
export const ownArray: MakeArray = (like, length) => new (like.constructor as Float32ArrayConstructor)(length)

/** Arrays begin at multiples of this. */
const CACHE_LINE = 64

/**
 * One buffer for all arrays of a batch, so that any buffer will do for any batch: as large as the largest batch so far. What does not
 * fit, as in the first batch, gets memory of its own.
 */
export class BatchMemory {
  private free: ArrayBuffer[] = []
  /** Bytes of the largest batch. */
  private largest = 0

  /** Takes over buffers; whoever had them must not use them any more. */
  give(buffers: readonly ArrayBuffer[]): void {
    this.free.push(...buffers)
  }

  /** Makes the arrays of one more batch. */
  batch(): MakeArray {
    this.free = this.free.filter(({ byteLength }) => byteLength >= this.largest)
    const buffer = this.free.pop() ?? new ArrayBuffer(this.largest)
    let used = 0
    return (like, length) => {
      const kind = like.constructor as Float32ArrayConstructor
      const at = used
      used += Math.ceil((length * kind.BYTES_PER_ELEMENT) / CACHE_LINE) * CACHE_LINE
      this.largest = Math.max(this.largest, used)
      return used <= buffer.byteLength ? new kind(buffer, at, length) : ownArray(like, length)
    }
  }
}

/** All memory of a batch, to be moved to another thread or used again. */
export function buffersOf({ points, fields, sets, vectors }: SceneBatch): ArrayBuffer[] {
  const rows = [points, ...Object.values(sets)]
  const arrays = [
    ...[...rows, ...Object.values(fields), ...Object.values(vectors)].map(({ data }) => data),
    ...rows.flatMap(each => [each.lengths, 'mask' in each ? each.mask : each.offsets]),
  ]
  return [...new Set(arrays.map(array => array.buffer as ArrayBuffer))]
}
