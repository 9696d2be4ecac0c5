// What the trainer sees of a data set: square images held in memory, split into training and validation.

import { createHash } from 'node:crypto'

export interface Batch {
  /** [n, C, H, W] in [−1, 1]. */
  readonly images: Float32Array
  /** [n] classes; all 0 where there are none. */
  readonly labels: Int32Array
}

/** Images of one split: bytes (0 … 255) as files hold them, or floats already in [−1, 1]. */
export class ImageSplit {
  readonly count: number

  constructor(
    private readonly pixels: Uint8Array | Float32Array,
    readonly labels: Int32Array,
    private readonly pixelsPerImage: number,
  ) {
    this.count = labels.length
  }

  /** The images at `indices`, in that order. */
  read(indices: ArrayLike<number>): Batch {
    const { pixels, pixelsPerImage: size } = this
    const images = new Float32Array(indices.length * size)
    const labels = new Int32Array(indices.length)
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i]
      labels[i] = this.labels[index]
      const image = pixels.subarray(index * size, (index + 1) * size)
      if (pixels instanceof Float32Array) images.set(image, i * size)
      else for (let p = 0; p < size; p++) images[i * size + p] = image[p] / 127.5 - 1
    }
    return { images, labels }
  }

  /** The images at `indices` as a split of their own. */
  select(indices: ArrayLike<number>): ImageSplit {
    const size = this.pixelsPerImage
    const pixels =
      this.pixels instanceof Float32Array
        ? new Float32Array(indices.length * size)
        : new Uint8Array(indices.length * size)
    const labels = Int32Array.from(indices, index => this.labels[index])
    for (let i = 0; i < indices.length; i++)
      pixels.set(this.pixels.subarray(indices[i] * size, (indices[i] + 1) * size), i * size)
    return new ImageSplit(pixels, labels, size)
  }

  /** A hash of every pixel and label. */
  fingerprint(): string {
    const bytes = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
    return createHash('sha256').update(bytes(this.pixels)).update(bytes(this.labels)).digest('hex')
  }
}

export interface Dataset {
  readonly channels: number
  /** Height and width. */
  readonly size: number
  /** Names of the classes; empty for an unconditional model. */
  readonly classes: readonly string[]
  readonly train: ImageSplit
  readonly validation: ImageSplit
  /** Mirror half of the training images left to right. */
  readonly flip: boolean
}
