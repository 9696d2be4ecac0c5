// The feed-forward part of a transformer block, with the names of timm's Mlp (`fc1`, `fc2`).

import { type Device, type GatedInto, mlp, type RngKey, type Tensor } from '@ditkit/core'
import { Linear, type LinearOptions } from './linear'
import { Module } from './module'

export interface MLPOptions extends LinearOptions {
  /** Width of the output; default `dim`. */
  out?: number
  /** Default `gelu`, the tanh approximation. */
  activation?: 'gelu' | 'silu' | 'relu'
}

/** fc2(activation(fc1(x))), for x [..., dim]. */
export class MLP extends Module {
  readonly fc1: Linear
  readonly fc2: Linear
  readonly activation: 'gelu' | 'silu' | 'relu'

  constructor(device: Device, key: RngKey, dim: number, hidden: number, options: MLPOptions = {}) {
    super()
    const { out = dim, activation = 'gelu', ...linear } = options
    const [first, second] = key.split(2)
    this.activation = activation
    this.fc1 = new Linear(device, first, dim, hidden, linear)
    this.fc2 = new Linear(device, second, hidden, out, linear)
  }

  /** With `into`: what it adds the result to, gated. */
  forward(x: Tensor, into?: GatedInto): Tensor {
    return mlp(x, this.fc1, this.fc2, { activation: this.activation, into, computeDtype: this.fc1.computeDtype })
  }
}
