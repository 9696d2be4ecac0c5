// The allocator's books without its memory: what native/runtime/allocator.cc would hold and reserve after the same calls,
// and what became of every block.

/** A piece of device memory, from `alloc` to `free`. Times count allocations and frees since the beginning. */
export interface LedgerBlock {
  readonly handle: number
  readonly bytes: number
  /** What the run was doing when it was allocated. */
  readonly phase: string
  readonly born: number
  /** Infinity while it lives. */
  freed: number
  /** Whether its content came from the host or a random draw, not from other tensors. */
  drawn: boolean
  /** What holds it, once somebody has said. */
  role: string | undefined
}

/** The most bytes in use within a phase, and when. */
export interface LedgerPeak {
  readonly bytes: number
  readonly time: number
}

const SMALLEST = 64

/** The smallest size class that holds `bytes`: 64 bytes, then four steps to each power of two. */
export function classSize(bytes: number): number {
  if (bytes <= SMALLEST) return SMALLEST
  const power = Math.floor(Math.log2(bytes))
  const step = 2 ** (power > 8 ? power - 2 : 6)
  return Math.ceil(bytes / step) * step
}

export class MemoryLedger {
  /** Every block there ever was, in order of allocation. */
  readonly blocks: LedgerBlock[] = []
  readonly peaks = new Map<string, LedgerPeak>()
  time = 0
  phase = ''
  liveBytes = 0
  peakBytes = 0
  /** What the system has given, cache included: freed memory is kept for reuse by its size class. */
  reservedBytes = 0
  cachedBytes = 0
  /** The most that size classes in use hold: what must fit when the cache is given back in time. */
  peakCapacity = 0
  private readonly live = new Map<number, LedgerBlock>()
  private readonly free_ = new Map<number, number>()

  alloc(bytes: number): number {
    const size = classSize(bytes)
    const cached = this.free_.get(size) ?? 0
    if (cached > 0) {
      this.free_.set(size, cached - 1)
      this.cachedBytes -= size
    } else this.reservedBytes += size
    const { phase } = this
    const handle = this.blocks.length
    const block = {
      handle,
      bytes,
      phase,
      born: ++this.time,
      freed: Number.POSITIVE_INFINITY,
      drawn: false,
      role: undefined,
    }
    this.blocks.push(block)
    this.live.set(handle, block)
    this.liveBytes += bytes
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes)
    this.peakCapacity = Math.max(this.peakCapacity, this.reservedBytes - this.cachedBytes)
    if (this.liveBytes > (this.peaks.get(phase)?.bytes ?? -1))
      this.peaks.set(phase, { bytes: this.liveBytes, time: this.time })
    return handle
  }

  free(handle: number): void {
    const block = this.at(handle, 'free')
    block.freed = ++this.time
    this.live.delete(handle)
    const size = classSize(block.bytes)
    this.free_.set(size, (this.free_.get(size) ?? 0) + 1)
    this.cachedBytes += size
    this.liveBytes -= block.bytes
  }

  /** @throws Error for what is not the handle of a live block. */
  at(handle: unknown, what: string): LedgerBlock {
    const block = this.live.get(handle as number)
    if (!block) throw new Error(`${what}: not the handle of a live storage`)
    return block
  }

  /** Says what holds a block. */
  assign(handle: unknown, role: string): void {
    this.at(handle, 'assign').role = role
  }

  /** The blocks in use right after event `time`. */
  blocksAt(time: number): LedgerBlock[] {
    return this.blocks.filter(({ born, freed }) => born <= time && time < freed)
  }

  trim(): void {
    this.free_.clear()
    this.reservedBytes -= this.cachedBytes
    this.cachedBytes = 0
  }
}
