// Mirrors images left to right.

import { hostBits, type RngKey } from '@ditkit/core'

/** Mirrors, in place, the images [n, C, H, W] that the key's draw picks: each with probability one half. */
export function flipSome(images: Float32Array, count: number, size: number, key: RngKey): void {
  const bits = hostBits(key, count)
  const pixels = images.length / count
  for (let i = 0; i < count; i++) {
    if (bits[i] & 1) {
      for (let row = i * pixels; row < (i + 1) * pixels; row += size) images.subarray(row, row + size).reverse()
    }
  }
}
