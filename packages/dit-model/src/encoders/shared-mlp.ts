// The layers that a point-cloud encoder applies to every point alike.

import { type Device, type RngKey, scope, type Tensor } from '@ditkit/core'
import { type Initializer, kaimingUniform, Linear, Module, zeros } from '@ditkit/nn'

const HE: Initializer = (device, shape, key) => kaimingUniform(device, shape, key, { a: 0 })

/**
 * x [..., channels] → [..., widths.at(-1)]: Linear and ReLU for each width. Without PointNet's batch norm, which would let
 * scenes, and their padding, influence each other; its place is taken by He initialisation and by a layer norm of the tokens.
 */
export class SharedMLP extends Module {
  readonly layers: readonly Linear[]

  constructor(device: Device, key: RngKey, channels: number, widths: readonly number[]) {
    super()
    const inputs = [channels, ...widths]
    this.layers = widths.map(
      (width, i) => new Linear(device, key.foldIn(i), inputs[i], width, { init: HE, biasInit: zeros }),
    )
  }

  forward(x: Tensor): Tensor {
    return scope(() => this.layers.reduce((h, layer) => layer.forward(h, 'relu'), x), 'SharedMLP.forward')
  }
}
