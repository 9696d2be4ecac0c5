// The reference backend's memory: plain ArrayBuffers with accounting, and errors for every wrong use of a handle.

import type { BackendMemory, BufferHandle, Operand, StorageRef } from '../backend'
import { bytesPerElement, hostArray } from '../dtype'
import { showShape, sizeOf } from '../shape'
import type { View } from './view'

class ReferenceBuffer {
  freed = false

  constructor(
    public content: ArrayBuffer,
    readonly bytes: number,
  ) {}
}

export class ReferenceMemory {
  private readonly live = new Set<ReferenceBuffer>()
  private liveBytes = 0
  private peakBytes = 0
  private disposed = false

  alloc(bytes: number): BufferHandle {
    this.checkAlive()
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new RangeError(`reference: cannot allocate ${bytes} bytes, expected a non-negative integer`)
    }
    const buffer = new ReferenceBuffer(makeContent(bytes), bytes)
    this.live.add(buffer)
    this.liveBytes += bytes
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes)
    return buffer
  }

  free(handle: BufferHandle): void {
    const buffer = this.lookUp(handle)
    buffer.freed = true
    buffer.content = new ArrayBuffer(0)
    this.live.delete(buffer)
    this.liveBytes -= buffer.bytes
  }

  /** `bytes` bytes at `byteOffset`, in place. */
  bytes(storage: StorageRef, byteOffset: number, bytes: number): Uint8Array {
    const buffer = this.lookUp(storage.handle)
    if (!(byteOffset >= 0 && bytes >= 0 && byteOffset + bytes <= buffer.bytes)) {
      throw new RangeError(
        `reference: bytes ${byteOffset} … ${byteOffset + bytes} are outside a buffer of ${buffer.bytes}`,
      )
    }
    return new Uint8Array(buffer.content, byteOffset, bytes)
  }

  /** Looks an operand up; throws when it reaches outside its memory, since a typed array would silently give NaN. */
  view(operand: Operand): View {
    const buffer = this.lookUp(operand.storage.handle)
    const { shape, strides, dtype } = operand
    if (dtype === 'f16' || dtype === 'bf16') throw new TypeError(`reference: dtype ${dtype} is not supported`)
    const size = bytesPerElement(dtype)
    const start = operand.byteOffset / size
    if (!Number.isInteger(start)) {
      throw new RangeError(`reference: byte offset ${operand.byteOffset} is not a multiple of ${size} (${dtype})`)
    }
    const steps = shape.map((n, axis) => (n - 1) * strides[axis])
    const first = steps.reduce((sum, step) => sum + Math.min(step, 0), start)
    const last = steps.reduce((sum, step) => sum + Math.max(step, 0), start)
    if (sizeOf(shape) > 0 && !(first >= 0 && (last + 1) * size <= buffer.bytes)) {
      throw new RangeError(
        `reference: a ${dtype} view of shape ${showShape(shape)}, strides ${showShape(strides)} and byte offset ${operand.byteOffset} ` +
          `reaches outside its buffer of ${buffer.bytes} bytes`,
      )
    }
    return { data: hostArray(dtype, buffer.content), start, shape, strides, dtype }
  }

  report(): BackendMemory {
    return { liveBytes: this.liveBytes, peakBytes: this.peakBytes, cachedBytes: 0 }
  }

  checkAlive(): void {
    if (this.disposed) throw new Error('reference: the device was disposed; make a new one')
  }

  dispose(): void {
    for (const buffer of this.live) this.free(buffer)
    this.disposed = true
  }

  private lookUp(handle: BufferHandle): ReferenceBuffer {
    this.checkAlive()
    if (!(handle instanceof ReferenceBuffer))
      throw new TypeError('reference: this handle is not a buffer of a reference device')
    if (handle.freed)
      throw new Error(`reference: a buffer of ${handle.bytes} bytes was used or freed after it had been freed`)
    if (!this.live.has(handle)) throw new Error('reference: this buffer belongs to another reference device')
    return handle
  }
}

/**
 * Whole 8-byte words, so that any dtype can view the buffer. Every byte is 0xff: NaN as a float, −1 as an integer, so
 * that whoever counts on fresh memory holding zeros is found out here.
 */
function makeContent(bytes: number): ArrayBuffer {
  try {
    const content = new ArrayBuffer(Math.ceil(bytes / 8) * 8)
    new Uint8Array(content).fill(0xff)
    return content
  } catch (cause) {
    throw new Error(`reference: no memory for a buffer of ${bytes} bytes`, { cause })
  }
}
