// Normal numbers in place of images, with classes drawn at random: for planning and timing a model whose data are not at
// hand, such as one of latents. Image i is a function of the key and i alone.

import { hostNormal, type RngKey, randomInt, rngKey } from '@ditkit/core'
import type { RandomConfig } from '../config/schema'
import { type Dataset, ImageSplit } from './dataset'

const DATA_KEY = rngKey(0x524e_444d)

export function loadRandom(config: RandomConfig): Dataset {
  const [train, validation] = DATA_KEY.split(2)
  return {
    channels: config.channels,
    size: config.size,
    classes: classNames(config.classes),
    flip: false,
    train: drawNumbers(train, config.images, config),
    validation: drawNumbers(validation, config.validation, config),
  }
}

export const classNames = (count: number) => Array.from({ length: count }, (_, i) => String(i))

function drawNumbers(key: RngKey, count: number, { channels, size, classes }: RandomConfig): ImageSplit {
  const [pixelKey, labelKey] = key.split(2)
  const numbers = channels * size * size
  const pixels = new Float32Array(count * numbers)
  for (let i = 0; i < count; i++) pixels.set(hostNormal(pixelKey.foldIn(i), numbers), i * numbers)
  return new ImageSplit(pixels, randomInt(labelKey, count, Math.max(1, classes)), numbers)
}
