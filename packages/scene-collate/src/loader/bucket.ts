// Batches of scenes of similar length, so that little is padded, in an order that is random all the same.

import { permutation, rngKey } from '@ditkit/core'

export interface BucketOptions {
  readonly batchSize: number
  /** Padding to allow, as a share of all slots, from 0 to 1. Default 0.1. */
  readonly maxWaste?: number
  /** Default true; false keeps scenes near their place in the dataset. */
  readonly shuffle?: boolean
  /** Default 0. */
  readonly seed?: number
  /** Default 0; every epoch has batches of its own. */
  readonly epoch?: number
  /** Leave out as many scenes as do not fill a batch, others in each epoch. Default false. */
  readonly dropLast?: boolean
}

export interface Buckets {
  /** Numbers of scenes, batch by batch. */
  readonly batches: readonly Int32Array[]
  /** The share of slots that padding takes, from 0 to 1. */
  readonly waste: number
  /** Scenes were sorted by length among so many at a time. */
  readonly pool: number
}

/**
 * Shuffles all scenes, sorts them by length within pools, cuts the pools into batches and shuffles those. The pool is the smallest, in doublings of the batch size, that keeps
 * the waste within `maxWaste`: the smaller, the more random the batches. Where not even sorting all scenes does, that is done, and `waste` says what is left.
 */
export function bucketByLength(lengths: ArrayLike<number>, options: BucketOptions): Buckets {
  const { batchSize, maxWaste = 0.1, shuffle = true, seed = 0, epoch = 0, dropLast = false } = options
  checkBatchSize('bucketByLength', batchSize)
  if (!(maxWaste >= 0 && maxWaste <= 1))
    throw new RangeError(`bucketByLength: maxWaste is ${maxWaste}, expected 0 to 1`)
  const count = lengths.length
  const [sceneKey, batchKey] = rngKey(seed).foldIn(epoch).split(2)
  const all = shuffle ? permutation(sceneKey, count) : Int32Array.from({ length: count }, (_, i) => i)
  // Left out before sorting, or it would be the longest scenes, in every epoch.
  const order = dropLast ? all.subarray(0, count - (count % batchSize)) : all
  for (let pool = batchSize; ; pool *= 2) {
    const batches = cut(order, lengths, Math.min(pool, count), batchSize)
    const waste = wasteOf(batches, lengths)
    if (waste > maxWaste && pool < count) continue
    const shuffled = shuffle ? Array.from(permutation(batchKey, batches.length), i => batches[i]) : batches
    return { batches: shuffled, waste, pool: Math.min(pool, count) }
  }
}

/** Throws a RangeError unless it is a whole number of at least 1. */
export function checkBatchSize(op: string, batchSize: number): void {
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new RangeError(`${op}: batchSize is ${batchSize}, expected a whole number of at least 1`)
}

function cut(order: Int32Array, lengths: ArrayLike<number>, pool: number, batchSize: number) {
  const batches: Int32Array[] = []
  const size = Math.ceil(pool / batchSize) * batchSize
  for (let start = 0; start < order.length; start += size) {
    // A pool of one batch needs no sorting, and keeps the order.
    const members = order.slice(start, start + size)
    if (size > batchSize) members.sort((a, b) => lengths[a] - lengths[b] || a - b)
    for (let at = 0; at < members.length; at += batchSize) batches.push(members.subarray(at, at + batchSize))
  }
  return batches
}

function wasteOf(batches: readonly Int32Array[], lengths: ArrayLike<number>): number {
  let [slots, used] = [0, 0]
  for (const batch of batches) {
    let longest = 0
    for (const i of batch) {
      longest = Math.max(longest, lengths[i])
      used += lengths[i]
    }
    slots += longest * batch.length
  }
  return slots === 0 ? 0 : 1 - used / slots
}
