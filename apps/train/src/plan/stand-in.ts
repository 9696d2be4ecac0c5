// A task with data of the shape a configuration's has, without its images: enough to run a step that computes nothing.

import type { Config } from '../config/schema'
import { ImageSplit } from '../data/dataset'
import { surveyImages } from '../data/images'
import { readMnist } from '../data/mnist'
import { classNames } from '../data/random'
import type { ImageFormat } from '../model/build'
import { DetectTask } from '../task/detect'
import { GraspTask } from '../task/grasps'
import { ImageTask } from '../task/images'
import type { Task } from '../task/task'

export interface StandIn {
  readonly task: Task
  /** What the real one holds in the process's memory. */
  readonly bytes: number
}

/** A scene keeps 2,048 points with normals (49 kB) and a stretched mesh (some 2,500 triangles, 45 kB), once it was looked at. */
const SCENE_BYTES = 94e3
/** A point with its normal: what a table keeps once it was looked at. */
const POINT_BYTES = 24

const warn = (line: string) => console.warn(line)

/** Decodes no image. Throws a UserError where the data set cannot be found. */
export async function standInFor({ data: config, detect }: Config): Promise<StandIn> {
  switch (config.kind) {
    case 'objects':
      // Small enough to be loaded: a scene is made when it is read.
      return {
        task: await GraspTask.open(config, warn),
        bytes: (config.scenes + config.validation) * SCENE_BYTES,
      }
    case 'tabletop':
      return {
        task: new DetectTask(config, detect, warn),
        bytes: (config.scenes + config.validation) * (config.points[1] + config.camera_points) * POINT_BYTES,
      }
    case 'mnist': {
      const { size, classes, train } = readMnist(config.folder)
      return standIn({ channels: 1, size, classes }, train.count, config.validation, 1)
    }
    case 'blobs': {
      const { size, images, validation } = config
      return standIn({ channels: 1, size, classes: [] }, images + validation, validation, 4)
    }
    case 'random': {
      const { channels, size, classes, images, validation } = config
      return standIn({ channels, size, classes: classNames(classes) }, images + validation, validation, 4)
    }
    case 'images': {
      const { channels, size, validation } = config
      const { classes, count } = surveyImages(config)
      return standIn({ channels, size, classes }, count, Math.round(count * validation), 1)
    }
  }
}

function standIn(format: ImageFormat, count: number, held: number, bytesPerPixel: number): StandIn {
  const pixels = format.channels * format.size ** 2
  // No pixels are there to be copied, so what is read stays 0.
  const split = (images: number) => new ImageSplit(new Float32Array(), new Int32Array(images), pixels)
  const dataset = { ...format, flip: false, train: split(Math.max(1, count - held)), validation: split(held) }
  return { task: new ImageTask(dataset), bytes: count * pixels * bytesPerPixel }
}
