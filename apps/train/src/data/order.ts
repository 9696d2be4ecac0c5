// Which images a step reads: each epoch is a fresh permutation, and any position of the endless sequence of epochs is a
// function of (key, position) alone, so that a resumed run reads on exactly where it stopped.

import { permutation, type RngKey } from '@ditkit/core'

export class DataOrder {
  private epoch = -1
  private order: Int32Array = new Int32Array()

  constructor(
    private readonly key: RngKey,
    private readonly count: number,
  ) {}

  /** Indices of the images at positions start … start + length − 1; an epoch's end may lie in between. */
  read(start: number, length: number): Int32Array {
    return Int32Array.from({ length }, (_, i) => {
      const epoch = Math.floor((start + i) / this.count)
      if (epoch !== this.epoch) {
        this.order = permutation(this.key.foldIn(epoch), this.count)
        this.epoch = epoch
      }
      return this.order[(start + i) % this.count]
    })
  }
}
