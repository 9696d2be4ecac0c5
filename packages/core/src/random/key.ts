// Keys of the counter-based generator: 64 bits, immutable, never global. A key stands for one use; more are derived
// with `split` and `foldIn`, so that a draw is a function of the seed and of where in the program it happens.

import { philox4x32 } from './philox'

/** 'SPLT' and 'FOLD': the third counter word of derived keys, so that they never meet each other or a fill. */
const SPLIT_TAG = 0x53504c54
const FOLD_TAG = 0x464f4c44

/** A 64-bit number as two uint32 words, low first. */
function words64(value: number | bigint, what: string): [number, number] {
  const inRange =
    typeof value === 'bigint' ? value >= 0n && value < 1n << 64n : Number.isSafeInteger(value) && value >= 0
  if (!inRange) {
    throw new RangeError(`${what} is ${value}, expected an integer from 0 to 2^53 − 1 (as a bigint: to 2^64 − 1)`)
  }
  const bits = BigInt(value)
  return [Number(bits & 0xffffffffn), Number(bits >> 32n)]
}

function isUint32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffffffff
}

/** A key for random draws. `low` and `high` are its uint32 words: k0 and k1 of Philox. */
export class RngKey {
  /** Throws a RangeError unless both words are uint32. */
  constructor(
    readonly low: number,
    readonly high: number,
  ) {
    if (!isUint32(low) || !isUint32(high)) {
      throw new RangeError(
        `RngKey: words are (${low}, ${high}), expected integers from 0 to 2^32 − 1; see rngKey(seed)`,
      )
    }
  }

  /**
   * `count` independent keys. Key i is words 0 and 1 of the Philox block with counter (i, 0, 'SPLT', 0) under this key,
   * so a larger count begins with the same keys. Throws a RangeError unless count is an integer from 1 to 2^32 − 1.
   */
  split(count: number): RngKey[] {
    if (!isUint32(count) || count === 0) {
      throw new RangeError(`RngKey.split: count is ${count}, expected an integer from 1 to 2^32 − 1`)
    }
    return Array.from({ length: count }, (_, i) => this.derive(i, 0, SPLIT_TAG))
  }

  /**
   * The key for case number `value` (a step, a sample, a layer): words 0 and 1 of the Philox block with counter
   * (low(value), high(value), 'FOLD', 0) under this key. Throws a RangeError unless value is an integer from 0 to
   * 2^53 − 1, or a bigint from 0 to 2^64 − 1.
   */
  foldIn(value: number | bigint): RngKey {
    const [low, high] = words64(value, 'RngKey.foldIn: value')
    return this.derive(low, high, FOLD_TAG)
  }

  /** 16 hexadecimal digits, most significant first; `RngKey.parse` reads it. */
  toString(): string {
    return [this.high, this.low].map(word => word.toString(16).padStart(8, '0')).join('')
  }

  toJSON(): string {
    return this.toString()
  }

  /** Reads what `toString` wrote. Throws a SyntaxError for anything but 16 hexadecimal digits. */
  static parse(text: string): RngKey {
    if (typeof text !== 'string' || !/^[0-9a-fA-F]{16}$/.test(text)) {
      throw new SyntaxError(`RngKey.parse: got ${JSON.stringify(text)}, expected 16 hexadecimal digits`)
    }
    return new RngKey(Number.parseInt(text.slice(8), 16), Number.parseInt(text.slice(0, 8), 16))
  }

  private derive(c0: number, c1: number, tag: number): RngKey {
    const words = new Uint32Array(4)
    philox4x32(c0, c1, tag, 0, this.low, this.high, words)
    return new RngKey(words[0], words[1])
  }
}

/**
 * The key of a seed: its low and high 32 bits. Throws a RangeError unless the seed is an integer from 0 to 2^53 − 1, or
 * a bigint from 0 to 2^64 − 1.
 */
export function rngKey(seed: number | bigint): RngKey {
  const [low, high] = words64(seed, 'rngKey: seed')
  return new RngKey(low, high)
}
