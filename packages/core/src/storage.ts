// A reference-counted piece of device memory. Tensors, views and the tape hold references; the last one frees it.

import type { BufferHandle, StorageRef } from './backend'
import type { Device } from './device'

export class Storage implements StorageRef {
  /** Counts in-place writes: backward compares it with the version it saved. */
  version = 0
  private references = 1

  constructor(
    readonly device: Device,
    readonly handle: BufferHandle,
    readonly bytes: number,
  ) {}

  get shared(): boolean {
    return this.references > 1
  }

  retain(): this {
    this.references++
    return this
  }

  release(): void {
    if (--this.references === 0 && !this.device.disposed) this.device.backend.free(this.handle)
  }
}
