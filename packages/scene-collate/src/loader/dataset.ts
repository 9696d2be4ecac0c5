// What a loader reads scenes from, and what happens to each on its way into a batch.

import type { AugmentOptions } from '../augment'
import type { SceneBatch } from '../batch'
import type { CollateOptions } from '../collate'
import type { PointLimit } from '../limit/limit-points'
import type { NormaliseOptions } from '../normalise'
import type { Scene, SceneTransform } from '../scene'

export interface Dataset {
  /** Number of scenes. */
  readonly length: number
  /** Scene `index`, from 0; always the same one. It is not changed, and not kept. */
  get(index: number): Scene | Promise<Scene>
  /** Points of each scene [length], for batches of scenes of similar length. */
  readonly lengths?: ArrayLike<number>
  /** What scene `index` is called, for messages about one that cannot be read. */
  nameOf?(index: number): string
}

/** What happens to each scene, in this order. Plain data, so that it can be sent to a worker. */
export interface SceneSteps {
  readonly maxPoints?: PointLimit
  /** Each scene by itself, or one move for all (see `datasetNormaliser`). */
  readonly normalise?: NormaliseOptions | SceneTransform
  readonly augment?: AugmentOptions
  readonly collate?: Omit<CollateOptions, 'maxPoints'>
  /** Leave out a scene that cannot be read or that `checkScene` refuses, and count it. Default false: it ends the iteration. */
  readonly skipBad?: boolean
}

/** One batch to make: a function of this and the dataset alone. */
export interface BatchJob {
  readonly indices: Int32Array
  readonly seed: number
  readonly epoch: number
  readonly steps: SceneSteps
}

export interface SkippedScene {
  readonly index: number
  readonly reason: string
}

export interface LoadedBatch {
  /** Absent when every scene was skipped. */
  readonly batch?: SceneBatch
  readonly skipped: readonly SkippedScene[]
}

/** Where a loader has its batches made: in its own thread, or in others. */
export interface BatchSource {
  readonly length: number
  readonly lengths?: ArrayLike<number>
  /** How many batches are made at once. */
  readonly parallel: number
  /** With `spare`, the memory of batches that are done with (none so far, perhaps), the batch's memory is meant to come back. */
  load(job: BatchJob, spare?: readonly ArrayBuffer[]): Promise<LoadedBatch>
  close(): Promise<void>
}
