// Random numbers on the host: the same values as a device fill, and integers and permutations for data order.

import type { RngKey } from './key'
import { fillNormals, fillWords, multiplyHigh, philox4x32, wordToUniform } from './philox'

/** 'INTG': the third counter word of bounded integers. */
const INTEGER_TAG = 0x494e5447

function checkCount(op: string, count: number): void {
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new RangeError(`${op}: count is ${count}, expected a non-negative integer`)
  }
}

/** `count` random 32-bit words, as a device fill of kind 'bits' (there read as i32). */
export function hostBits(key: RngKey, count: number): Uint32Array {
  checkCount('hostBits', count)
  return fillWords(key.low, key.high, count)
}

/** `count` numbers in [0, 1), multiples of 2^-24, as a device fill of kind 'uniform'. */
export function hostUniform(key: RngKey, count: number): Float64Array {
  checkCount('hostUniform', count)
  return Float64Array.from(fillWords(key.low, key.high, count), wordToUniform)
}

/** `count` standard normal numbers in float64; a device fill of kind 'normal' gives the same up to its rounding. */
export function hostNormal(key: RngKey, count: number): Float64Array {
  checkCount('hostNormal', count)
  return fillNormals(key.low, key.high, count)
}

/**
 * Unbiased bounded integers from the words of blocks (0, 0, 'INTG', 0), (1, 0, 'INTG', 0), … in order. Lemire, "Fast
 * random integer generation in an interval" (ACM TOMACS 2019): hi(word · bound), words whose low half falls below
 * 2^32 mod bound rejected.
 */
class IntegerStream {
  private readonly words = new Uint32Array(4)
  private drawn = 0

  constructor(private readonly key: RngKey) {}

  /** An integer in [0, bound) for bound from 1 to 2^32 − 1. */
  next(bound: number): number {
    const rejectBelow = 2 ** 32 % bound
    let word = this.nextWord()
    while (Math.imul(word, bound) >>> 0 < rejectBelow) word = this.nextWord()
    return multiplyHigh(word, bound)
  }

  private nextWord(): number {
    const lane = this.drawn % 4
    if (lane === 0) {
      const block = Math.floor(this.drawn / 4)
      philox4x32(block, Math.floor(block / 2 ** 32), INTEGER_TAG, 0, this.key.low, this.key.high, this.words)
    }
    this.drawn++
    return this.words[lane]
  }
}

/** `count` integers in [0, bound), each equally likely. Throws a RangeError unless bound is an integer from 1 to 2^31. */
export function randomInt(key: RngKey, count: number, bound: number): Int32Array {
  checkCount('randomInt', count)
  if (!Number.isInteger(bound) || bound < 1 || bound > 2 ** 31) {
    throw new RangeError(`randomInt: bound is ${bound}, expected an integer from 1 to 2^31`)
  }
  const stream = new IntegerStream(key)
  return Int32Array.from({ length: count }, () => stream.next(bound))
}

/** The numbers 0 … count−1 in random order (Fisher-Yates), each order equally likely; a function of (key, count) alone. */
export function permutation(key: RngKey, count: number): Int32Array {
  checkCount('permutation', count)
  const order = Int32Array.from({ length: count }, (_, i) => i)
  const stream = new IntegerStream(key)
  for (let i = count - 1; i > 0; i--) {
    const j = stream.next(i + 1)
    const moved = order[i]
    order[i] = order[j]
    order[j] = moved
  }
  return order
}
