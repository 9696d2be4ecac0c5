// Drawing images, of classes or unconditionally, with a DiT.

import { type Device, permutation, type RngKey } from '@ditkit/core'
import type { DiT } from '@ditkit/dit-model'
import type { Config } from '../config/schema'
import type { Dataset, ImageSplit } from '../data/dataset'
import { flipSome } from '../data/flip'
import { drawImages, evenLabels } from '../draw'
import { buildModel, type ImageFormat } from '../model/build'
import type { Images } from '../report/grid'
import { writeSamples } from '../report/samples'
import type { Batch, DrawWatch, Learner, Samples, Split, Task } from './task'

export class ImageTask implements Task<DiT> {
  readonly description: string
  readonly unit = 'images'
  readonly format: ImageFormat
  readonly train: Split<DiT>
  readonly validation: Split<DiT>

  constructor(private readonly dataset: Dataset) {
    const { channels, size, classes, train, validation } = dataset
    const kinds = classes.length > 0 ? `${classes.length} classes` : 'no classes'
    this.description = `${train.count} training and ${validation.count} validation images, ${kinds}`
    this.format = { channels, size, classes }
    this.train = this.split(train)
    this.validation = this.split(validation)
  }

  fingerprint(): string {
    return this.dataset.train.fingerprint()
  }

  buildModel(device: Device, key: RngKey, config: Config): DiT {
    return buildModel(device, key, config, this.format)
  }

  async draw(learner: Learner<DiT>, config: Config, key: RngKey, watch: DrawWatch): Promise<Samples> {
    const { count, guidance } = config.sample
    const labels = evenLabels(this.format.classes.length, count)
    const images = await drawImages({
      ...learner,
      ...watch,
      config,
      format: this.format,
      key,
      labels,
      count,
      guidance,
    })
    return { write: path => writeSamples(path, images, labels) }
  }

  /** Training images with the labels that are drawn. */
  async targets({ sample: { count } }: Config, key: RngKey): Promise<Samples> {
    const labels = evenLabels(this.format.classes.length, count)
    const images = targetImages(this.dataset, labels, count, key)
    return { write: path => writeSamples(path, images, labels) }
  }

  summary({ sample }: Config): Record<string, unknown> {
    const { train, classes } = this.dataset
    return {
      training_images: train.count,
      classes,
      samples: sample.count,
      guidance: classes.length > 0 ? sample.guidance : 1,
    }
  }

  private split(images: ImageSplit): Split<DiT> {
    const { dataset } = this
    return {
      count: images.count,
      read(indices, augment) {
        const batch = images.read(indices)
        if (augment && dataset.flip) flipSome(batch.images, indices.length, dataset.size, augment)
        return new ImageBatch(batch.images, dataset.classes.length > 0 ? batch.labels : undefined, dataset)
      },
    }
  }
}

class ImageBatch implements Batch<DiT> {
  constructor(
    private readonly images: Float32Array,
    private readonly labels: Int32Array | undefined,
    private readonly format: ImageFormat,
  ) {}

  loss({ device, model, objective }: Learner<DiT>, key: RngKey) {
    const { channels, size } = this.format
    const images = device.tensor(this.images, [this.images.length / this.pixels, channels, size, size])
    const host = { values: this.images, rows: images.shape[0], condition: this.labels }
    return objective.loss((x, t, key) => model.forward(x, t, this.labels, key && { key }), images, key, host)
  }

  nonFinite(): string | undefined {
    const at = this.images.findIndex(value => !Number.isFinite(value))
    return at < 0 ? undefined : `image ${Math.floor(at / this.pixels)} of the batch holds ${this.images[at]}`
  }

  private get pixels(): number {
    return this.format.channels * this.format.size ** 2
  }
}

function targetImages(dataset: Dataset, labels: Int32Array | undefined, count: number, key: RngKey): Images {
  const { train, channels, size } = dataset
  const order = permutation(key, train.count)
  const chosen = labels
    ? chooseByLabel(train, order, labels)
    : Array.from({ length: count }, (_, i) => order[i % order.length])
  return { data: train.read(chosen).images, shape: [count, channels, size, size] }
}

function chooseByLabel(train: ImageSplit, order: Int32Array, labels: Int32Array): number[] {
  const members = groupByLabel(train, order)
  const used = new Map<number, number>()
  return Array.from(labels, label => {
    const candidates = members.get(label)!
    const next = used.get(label) ?? 0
    used.set(label, next + 1)
    return candidates[next % candidates.length]
  })
}

function groupByLabel(train: ImageSplit, order: Int32Array): Map<number, number[]> {
  const groups = new Map<number, number[]>()
  for (const index of order) {
    const label = train.labels[index]
    const group = groups.get(label)
    if (group) group.push(index)
    else groups.set(label, [index])
  }
  return groups
}
