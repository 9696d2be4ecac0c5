// Layers one after another, named by their position as in PyTorch (`mlp.0.weight`).

import { scope, type Tensor } from '@ditkit/core'
import { Module } from './module'

/** A module of one tensor, or a plain function such as `silu`; functions take a position but hold no weights. */
export type Layer = (Module & { forward(x: Tensor): Tensor }) | ((x: Tensor) => Tensor)

export class Sequential extends Module {
  readonly layers: readonly Layer[]

  constructor(...layers: Layer[]) {
    super()
    this.layers = layers
  }

  protected override members(): Iterable<[string, unknown]> {
    return Object.entries(this.layers)
  }

  forward(x: Tensor): Tensor {
    return scope(
      () => this.layers.reduce((h, layer) => (typeof layer === 'function' ? layer(h) : layer.forward(h)), x),
      'Sequential.forward',
    )
  }
}
