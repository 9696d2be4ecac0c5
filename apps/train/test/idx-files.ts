// Writes data sets in MNIST's four IDX files.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A big-endian IDX file of bytes. */
export function idx(shape: readonly number[], data: ArrayLike<number>): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length)
  header.writeUInt32BE(0x0800 + shape.length, 0)
  for (const [i, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * i)
  return Buffer.concat([header, Uint8Array.from(data)])
}

export interface IdxImages {
  /** Square images, row by row. */
  readonly pixels: ArrayLike<number>
  readonly labels: readonly number[]
}

export function writeMnist(folder: string, train: IdxImages, test: IdxImages): void {
  for (const [prefix, { pixels, labels }] of Object.entries({ train, t10k: test })) {
    const side = Math.sqrt(pixels.length / labels.length)
    writeFileSync(join(folder, `${prefix}-images-idx3-ubyte`), idx([labels.length, side, side], pixels))
    writeFileSync(join(folder, `${prefix}-labels-idx1-ubyte`), idx([labels.length], labels))
  }
}
