// Moves images by whole pixels.

import { type RngKey, randomInt } from '@ditkit/core'

/** Moves each of the square, one-channel images, in place, by up to `most` pixels each way; −1 comes in at the edges. */
export function shiftSome(images: Float32Array, count: number, size: number, most: number, key: RngKey): void {
  const offsets = randomInt(key, 2 * count, 2 * most + 1)
  const source = new Float32Array(size * size)
  for (let i = 0; i < count; i++) {
    const [dx, dy] = [offsets[2 * i] - most, offsets[2 * i + 1] - most]
    const image = images.subarray(i * size * size, (i + 1) * size * size)
    source.set(image)
    image.fill(-1)
    const left = Math.max(0, -dx)
    const right = Math.min(size, size - dx)
    for (let y = Math.max(0, -dy); y < Math.min(size, size - dy); y++) {
      image.set(source.subarray(y * size + left, y * size + right), (y + dy) * size + left + dx)
    }
  }
}
