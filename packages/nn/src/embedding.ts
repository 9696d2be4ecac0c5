// A table of vectors, looked up by index.

import { type Device, embedding, type RngKey, type Tensor } from '@ditkit/core'
import { type Initializer, normalInit } from './init'
import { Module, parameter } from './module'

/** index i32 [...] → [..., dim]; weight is [entries, dim]. An index out of range is reported at the next read. */
export class Embedding extends Module {
  readonly weight: Tensor

  /** `init` defaults to a standard normal, as in PyTorch. */
  constructor(device: Device, key: RngKey, entries: number, dim: number, options: { init?: Initializer } = {}) {
    super()
    this.weight = parameter((options.init ?? normalInit())(device, [entries, dim], key))
  }

  forward(index: Tensor): Tensor {
    return embedding(this.weight, index)
  }
}
