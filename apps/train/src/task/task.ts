// What a run is about: its samples, the model that learns them, and how the two meet in a batch. Images (images.ts) are
// one task, grasps (grasps.ts) and detection (detect.ts) others; the trainer knows no more of a task than this.

import type { Device, RngKey, Tensor } from '@ditkit/core'
import type { Module } from '@ditkit/nn'
import type { Config } from '../config/schema'
import type { ImageFormat } from '../model/build'
import type { Objective } from '../objective/objective'
import type { Progress } from '../report/progress'
import type { Interrupt } from '../run/interrupt'

/** What rebuilding a model takes beside its configuration; recorded with its weights. */
export type Format = ImageFormat | GraspFormat | BoxFormat

/** Grasps for scenes: what their vectors mean does not vary. */
export interface GraspFormat {
  readonly poses: 'grasps'
}

/** Boxes of categories, in that order. */
export interface BoxFormat {
  readonly boxes: readonly string[]
}

/** Where a batch meets a model. */
export interface Learner<M extends Module = Module> {
  readonly device: Device
  readonly model: M
  readonly objective: Objective
}

/** What a forward pass came to. */
export interface Outcome {
  /** A scalar on the tape. */
  readonly loss: Tensor
  /** Means over the samples, by the columns of the task's charts. */
  readonly figures?: Readonly<Record<string, number>>
}

/** A loss that depends on what the model said: it is told once that is on the host. */
export interface LateLoss {
  /** The rest of the computation, which neither waits nor frees anything. */
  readonly answered: Promise<() => Outcome>
}

/** Samples of one forward pass, on the host. */
export interface Batch<M extends Module = Module> {
  /** Their mean loss, a scalar on the tape. Noise, time and dropouts are functions of the key alone. */
  loss(learner: Learner<M>, key: RngKey): Tensor | LateLoss
  /** The first value that is not finite, in words; undefined when there is none. */
  nonFinite(): string | undefined
}

export interface Split<M extends Module = Module> {
  readonly count: number
  /** The samples at `indices`, in that order; with a key, in training, augmented. */
  read(indices: ArrayLike<number>, augment?: RngKey): Batch<M>
}

/** Drawn or real samples, as files. */
export interface Samples {
  /** Writes PATH.pt for PyTorch and PATH.png for people. */
  write(path: string): Promise<void>
}

export interface DrawWatch {
  readonly progress?: Progress
  readonly interrupt?: Interrupt
}

/** Figures that a batch gives beside its loss: columns of the metrics file, and one chart of the curves. */
export interface FigureChart {
  readonly title: string
  readonly columns: readonly string[]
  /** Whose batches give them. */
  readonly of: 'training' | 'validation'
}

export interface Task<M extends Module = Module> {
  /** "59000 training and 1000 validation images, 10 classes". */
  readonly description: string
  /** What is counted where samples are drawn: "images". */
  readonly unit: string
  readonly format: Format
  readonly train: Split<M>
  readonly validation: Split<M>
  readonly charts?: readonly FigureChart[]
  /** A hash of all training samples. */
  fingerprint(): string
  /** Throws a UserError where the configuration does not fit the data. */
  buildModel(device: Device, key: RngKey, config: Config): M
  /** `config.sample.count` samples from the weights that are in the model now. */
  draw(learner: Learner<M>, config: Config, key: RngKey, watch: DrawWatch): Promise<Samples>
  /** As many real ones, to stand beside them. */
  targets(config: Config, key: RngKey): Promise<Samples>
  /** What summary.json says of the data and the samples. */
  summary(config: Config): Record<string, unknown>
}
