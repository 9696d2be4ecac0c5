// The bytes of a pickle read front to back, with a budget on what they may become in memory.
import { CheckpointError } from '../errors'

export interface PickleLimits {
  /** Bound on the estimated memory of everything the pickle builds, in bytes. */
  maxObjectBytes: number
}

// Python integers in checkpoints are sizes, steps and random states; converting one takes quadratic time.
const MAX_INTEGER_BYTES = 4096

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads the operands of opcodes; everything out of range throws a CheckpointError. */
export class PickleBytes {
  readonly view: DataView
  private at = 0
  private budget: number

  constructor(
    private readonly bytes: Uint8Array,
    private readonly limits: PickleLimits,
    private readonly file?: string,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.budget = limits.maxObjectBytes
  }

  take(length: number): number {
    const start = this.at
    if (length > this.bytes.length - start) this.fail(`needs ${length} bytes where ${this.bytes.length - start} remain`)
    this.at += length
    return start
  }

  u8(): number {
    return this.bytes[this.take(1)]!
  }

  length32(): number {
    return this.view.getUint32(this.take(4), true)
  }

  length64(): number {
    // Beyond 2^53 it is inexact, and refused by take() all the same.
    return Number(this.view.getBigUint64(this.take(8), true))
  }

  text(length: number): string {
    this.charge(2 * length)
    const start = this.take(length)
    try {
      return utf8.decode(this.bytes.subarray(start, start + length))
    } catch {
      return this.fail('has a string that is not UTF-8')
    }
  }

  blob(length: number): Uint8Array {
    this.charge(64 + length)
    const start = this.take(length)
    return this.bytes.slice(start, start + length)
  }

  line(): string {
    const end = this.bytes.indexOf(0x0a, this.at)
    if (end < 0) return this.fail('has a class name without an end')
    const text = this.text(end - this.at)
    this.at++
    return text
  }

  /** A little-endian two's complement integer. */
  integer(length: number): number | bigint {
    if (length > MAX_INTEGER_BYTES)
      this.fail(`has an integer of ${length} bytes, expected at most ${MAX_INTEGER_BYTES}`)
    this.charge(length)
    const start = this.take(length)
    if (length === 0) return 0
    let hex = ''
    for (let i = length - 1; i >= 0; i--) hex += this.bytes[start + i]!.toString(16).padStart(2, '0')
    const value = BigInt.asIntN(length * 8, BigInt(`0x${hex}`))
    const small = Number(value)
    return Number.isSafeInteger(small) ? small : value
  }

  charge(bytes: number): void {
    this.budget -= bytes
    if (this.budget >= 0) return
    const limit = `builds objects of more than ${this.limits.maxObjectBytes} bytes`
    this.fail(`${limit}: if you trust the file, raise maxObjectBytes`)
  }

  fail(problem: string): never {
    throw new CheckpointError(`data.pkl ${problem} (at byte ${this.at} of ${this.bytes.length})`, { file: this.file })
  }
}
