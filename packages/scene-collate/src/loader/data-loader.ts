// Goes through a dataset batch by batch, epoch by epoch: always in the same order, from wherever it stopped, with a bounded number of batches in memory.

import type { SceneBatch } from '../batch'
import { BatchMemory, buffersOf } from '../batch-memory'
import { type Buckets, bucketByLength, checkBatchSize } from './bucket'
import type { BatchSource, Dataset, LoadedBatch, SceneSteps, SkippedScene } from './dataset'
import { loadBatch } from './load-batch'

export interface LoaderOptions extends SceneSteps {
  readonly batchSize: number
  /** Order of scenes, and all that is random in them. Default 0. */
  readonly seed?: number
  /** A new order in each epoch. Default true. */
  readonly shuffle?: boolean
  /** Put scenes of similar length together (the dataset must know its `lengths`), to this share of padding at most. Default: batches as they fall. */
  readonly maxWaste?: number
  /** Leave out as many scenes as do not fill a batch, others in each epoch. Default false. */
  readonly dropLast?: boolean
  /** How many batches are being made or wait to be taken, at most. Default: twice as many as are made at once. */
  readonly prefetch?: number
  /**
   * A batch's memory is used again once the next one is taken: from then on its arrays are empty. Several times faster where batches are large; for
   * loops that upload a batch or are done with it. The arrays of such a batch share one buffer. Default false.
   */
  readonly reuseMemory?: boolean
  /** Where to go on: what `state()` gave, also on another machine and with another number of workers. */
  readonly state?: LoaderState
}

/** Where a loader stands; plain data, to be kept in a checkpoint. */
export interface LoaderState {
  readonly seed: number
  readonly batchSize: number
  /** Scenes of the dataset. */
  readonly length: number
  readonly epoch: number
  /** The batch of the epoch that comes next, from 0. */
  readonly batch: number
  /** Scenes skipped so far. */
  readonly skipped: number
}

/** The skipped scenes that are kept for a report; more are only counted. */
const KEPT_SKIPPED = 100

/**
 * `for await (const batch of loader)` goes through what is left of the current epoch; the next `for await` through the next one. Give it a Dataset, whose scenes it then reads in
 * this thread, or what `openWorkers` of '@ditkit/scene-collate/node' gives. Batches, and every number in them, are the same however many workers there are.
 *
 * Errors come where their batch would have come: a SceneError that names a scene which cannot be read or is bad, unless `skipBad` is said. `close()` ends the workers, if any.
 */
export class DataLoader implements AsyncIterable<SceneBatch> {
  /** The first 100 scenes that were skipped. */
  readonly skipped: SkippedScene[] = []
  /** All scenes skipped, those before a resume included. */
  skippedCount = 0
  private readonly source: BatchSource
  private readonly seed: number
  private epoch = 0
  /** Of the epoch's batches, the one that comes next. */
  private next = 0
  private iterating = false
  private order: { readonly epoch: number; readonly buckets: Buckets } | undefined

  constructor(
    source: Dataset | BatchSource,
    private readonly options: LoaderOptions,
  ) {
    this.source = 'load' in source ? source : inThisThread(source)
    this.seed = options.seed ?? 0
    checkBatchSize('DataLoader', options.batchSize)
    const { prefetch } = options
    if (prefetch !== undefined && !(Number.isInteger(prefetch) && prefetch >= 1))
      throw new RangeError(`DataLoader: prefetch is ${prefetch}, expected a whole number of at least 1`)
    if (options.maxWaste !== undefined && !this.source.lengths)
      throw new RangeError('DataLoader: maxWaste needs the lengths of the scenes; give the dataset `lengths`')
    const { lengths, length } = this.source
    if (lengths && lengths.length !== length)
      throw new RangeError(`DataLoader: the dataset has ${length} scenes but ${lengths.length} lengths`)
    if (options.state) this.resume(options.state)
  }

  /** Batches of the current epoch. */
  get batchesPerEpoch(): number {
    return this.buckets.batches.length
  }

  /** The share of points of the current epoch that is padding, from 0 to 1, by the dataset's `lengths`; undefined where it has none. */
  get waste(): number | undefined {
    return this.source.lengths && this.options.collate?.layout !== 'packed' ? this.buckets.waste : undefined
  }

  /** After a batch was taken: the place behind it. */
  state(): LoaderState {
    const { seed, source, skippedCount: skipped } = this
    const { batchSize } = this.options
    const ended = this.next > 0 && this.next === this.batchesPerEpoch
    const place = ended ? { epoch: this.epoch + 1, batch: 0 } : { epoch: this.epoch, batch: this.next }
    return { seed, batchSize, length: source.length, ...place, skipped }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<SceneBatch, void, undefined> {
    if (this.iterating) throw new Error('DataLoader: it is being iterated already; make another loader')
    this.iterating = true
    const { epoch } = this
    const { batches } = this.buckets
    const most = this.options.prefetch ?? 2 * this.source.parallel
    const inFlight: Promise<LoadedBatch>[] = []
    const { reuseMemory } = this.options
    let spare: ArrayBuffer[] = []
    let started = this.next
    const fill = () => {
      for (; inFlight.length < most && started < batches.length; started++) {
        inFlight.push(this.load(batches[started], epoch, reuseMemory ? spare : undefined))
        spare = []
      }
    }
    try {
      for (fill(); inFlight.length > 0; ) {
        const loaded = await inFlight[0]
        inFlight.shift()
        fill()
        this.next++
        this.count(loaded.skipped)
        if (!loaded.batch) continue
        yield loaded.batch
        if (reuseMemory) spare = detached(buffersOf(loaded.batch))
      }
      this.epoch++
      this.next = 0
    } finally {
      this.iterating = false
    }
  }

  async close(): Promise<void> {
    await this.source.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  private load(indices: Int32Array, epoch: number, spare?: readonly ArrayBuffer[]): Promise<LoadedBatch> {
    const job = { indices, seed: this.seed, epoch, steps: stepsOf(this.options) }
    const loading = this.source.load(job, spare)
    // A failure is reported when its turn comes; until then, and after the iteration was left, nobody waits for it.
    loading.catch(() => {})
    return loading
  }

  private count(skipped: readonly SkippedScene[]): void {
    this.skippedCount += skipped.length
    this.skipped.push(...skipped.slice(0, KEPT_SKIPPED - this.skipped.length))
  }

  private get buckets(): Buckets {
    if (this.order?.epoch !== this.epoch) {
      const { batchSize, maxWaste = 1, shuffle, dropLast } = this.options
      const lengths = this.source.lengths ?? new Uint8Array(this.source.length).fill(1)
      const { seed, epoch } = this
      this.order = { epoch, buckets: bucketByLength(lengths, { batchSize, maxWaste, shuffle, dropLast, seed, epoch }) }
    }
    return this.order.buckets
  }

  private resume(state: LoaderState): void {
    const { batchSize } = this.options
    const own = { seed: this.seed, batchSize, length: this.source.length }
    for (const name of ['seed', 'batchSize', 'length'] as const) {
      if (state[name] !== own[name])
        throw new Error(
          `DataLoader: the state is of another run: its ${name} is ${state[name]}, here it is ${own[name]}`,
        )
    }
    this.epoch = state.epoch
    this.next = state.batch
    this.skippedCount = state.skipped
    if (state.batch > this.batchesPerEpoch)
      throw new Error(`DataLoader: the state is at batch ${state.batch}, but the epoch has ${this.batchesPerEpoch}`)
  }
}

function stepsOf({ maxPoints, normalise, augment, collate, skipBad }: LoaderOptions): SceneSteps {
  return { maxPoints, normalise, augment, collate, skipBad }
}

/** The same memory in new buffers; the arrays over the old ones become empty, so that none can be read by mistake. */
function detached(buffers: ArrayBuffer[]): ArrayBuffer[] {
  return structuredClone(buffers, { transfer: buffers })
}

function inThisThread(dataset: Dataset): BatchSource {
  const memory = new BatchMemory()
  return {
    length: dataset.length,
    lengths: dataset.lengths,
    parallel: 1,
    load(job, spare) {
      if (spare) memory.give(spare)
      return loadBatch(dataset, job, spare && memory)
    },
    close: async () => {},
  }
}
