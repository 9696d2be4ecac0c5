// Images of two soft blobs on a dark ground, drawn from Philox keys: image i is a function of the key and i alone.

import { hostUniform, type RngKey, rngKey } from '@ditkit/core'
import type { BlobsConfig } from '../config/schema'
import { type Dataset, ImageSplit } from './dataset'

const DATA_KEY = rngKey(0x424c_4f42)

export function loadBlobs(config: BlobsConfig): Dataset {
  const [train, validation] = DATA_KEY.split(2)
  return {
    channels: 1,
    size: config.size,
    classes: [],
    flip: false,
    train: drawBlobs(train, config.images, config.size),
    validation: drawBlobs(validation, config.validation, config.size),
  }
}

/** `count` images [1, size, size]: the brighter of two Gaussians at each pixel, scaled to [−1, 1]. */
function drawBlobs(key: RngKey, count: number, size: number): ImageSplit {
  const pixels = new Float32Array(count * size * size)
  for (let i = 0; i < count; i++) {
    const u = hostUniform(key.foldIn(i), 6)
    const blobs = [0, 3].map(at => ({
      x: (0.2 + 0.6 * u[at]) * (size - 1),
      y: (0.2 + 0.6 * u[at + 1]) * (size - 1),
      width: (0.08 + 0.08 * u[at + 2]) * size,
    }))
    for (let p = 0; p < size * size; p++) {
      const [x, y] = [p % size, Math.floor(p / size)]
      const light = blobs.map(b => Math.exp(-((x - b.x) ** 2 + (y - b.y) ** 2) / (2 * b.width ** 2)))
      pixels[i * size * size + p] = 2 * Math.max(...light) - 1
    }
  }
  return new ImageSplit(pixels, new Int32Array(count), size * size)
}
