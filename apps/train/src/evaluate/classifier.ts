// The judge of drawn digits: a small multilayer perceptron that ditkit trains itself on MNIST, shifted by a pixel or two
// so that it reads strokes rather than places. Trained once and kept beside the models.

import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { openSafetensors, writeSafetensors } from '@ditkit/checkpoint/node'
import {
  argmax,
  backward,
  crossEntropy,
  type Device,
  gelu,
  noGrad,
  type RngKey,
  rngKey,
  scope,
  type Tensor,
} from '@ditkit/core'
import { AdamW, Linear, Module, warmupCosine } from '@ditkit/nn'
import type { ImageSplit } from '../data/dataset'
import type { Mnist } from '../data/mnist'
import { DataOrder } from '../data/order'
import { shiftSome } from '../data/shift'
import { startProgress } from '../report/progress'
import type { Features } from './frechet'

const WIDTHS = [512, 256, 64]
const BATCH = 256
const EPOCHS = 12
const LEARNING_RATE = 2e-3
const SHIFT = 2

export class Classifier extends Module {
  readonly hidden: readonly Linear[]
  readonly head: Linear

  constructor(
    readonly device: Device,
    key: RngKey,
    readonly pixels: number,
    classes: number,
  ) {
    super()
    const sizes = [pixels, ...WIDTHS]
    const keys = key.split(sizes.length)
    this.hidden = WIDTHS.map((width, i) => new Linear(device, keys[i], sizes[i], width))
    this.head = new Linear(device, keys.at(-1)!, sizes.at(-1)!, classes)
  }

  /** images [n, pixels] → features [n, 64], in which the Fréchet distance is measured. */
  features(images: Tensor): Tensor {
    return this.hidden.reduce((x, layer) => gelu(layer.forward(x)), images)
  }

  /** images [n, pixels] → logits [n, classes]. */
  forward(images: Tensor): Tensor {
    return this.head.forward(this.features(images))
  }
}

export interface Reading {
  /** The class each image looks like. */
  readonly classes: Int32Array
  readonly features: Features
}

/** What the classifier sees in images [count, pixels]. */
export async function readImages(classifier: Classifier, images: Float32Array): Promise<Reading> {
  const { device, pixels } = classifier
  const count = images.length / pixels
  const dim = WIDTHS.at(-1)!
  const classes = new Int32Array(count)
  const features = new Float32Array(count * dim)
  for (let start = 0; start < count; start += 1000) {
    const end = Math.min(start + 1000, count)
    const [seen, felt] = scope(() =>
      noGrad(() => {
        const f = classifier.features(
          device.tensor(images.subarray(start * pixels, end * pixels), [end - start, pixels]),
        )
        return [argmax(classifier.head.forward(f)), f]
      }),
    )
    classes.set((await seen.data()) as Int32Array, start)
    features.set((await felt.data()) as Float32Array, start * dim)
    seen.dispose()
    felt.dispose()
  }
  return { classes, features: { data: features, count, dim } }
}

/** Share of images read as the class that is said. */
export function accuracy(reading: Reading, labels: Int32Array): number {
  return reading.classes.reduce((right, label, i) => right + (label === labels[i] ? 1 : 0), 0) / labels.length
}

/** The classifier kept at `path`, or one trained now and kept there. */
export async function openClassifier(device: Device, data: Mnist, path: string): Promise<Classifier> {
  const classifier = new Classifier(device, rngKey(0), data.size ** 2, data.classes.length)
  if (existsSync(path)) {
    await using file = await openSafetensors(path)
    await classifier.loadStateDict(file.tensors())
    return classifier
  }
  await trainClassifier(classifier, data.train, data.size)
  mkdirSync(dirname(path), { recursive: true })
  await writeSafetensors(path, await classifier.stateDict())
  return classifier
}

async function trainClassifier(classifier: Classifier, split: ImageSplit, size: number): Promise<void> {
  const { device, pixels } = classifier
  const [orderKey, shiftKey] = rngKey(1).split(2)
  const order = new DataOrder(orderKey, split.count)
  const steps = Math.ceil((EPOCHS * split.count) / BATCH)
  const learningRate = warmupCosine({ lr: LEARNING_RATE, warmupSteps: Math.min(100, steps - 1), totalSteps: steps })
  const optimizer = new AdamW(classifier, { weightDecay: 0.05 })
  const progress = startProgress('Training the classifier', steps, 'steps')
  for (let step = 0; step < steps; step++) {
    const { images, labels } = split.read(order.read(step * BATCH, BATCH))
    shiftSome(images, BATCH, size, SHIFT, shiftKey.foldIn(step))
    scope(() => {
      const logits = classifier.forward(device.tensor(images, [BATCH, pixels]))
      backward(crossEntropy(logits, device.tensor(labels, [BATCH])))
      optimizer.step({ lr: learningRate(step) })
      optimizer.zeroGrad()
    })
    await device.ready()
    progress.update(step + 1)
  }
  progress.stop()
  optimizer.dispose()
}
