// Layer norm (Ba et al. 2016) and root-mean-square norm (Zhang & Sennrich 2019) over the last axis.

import { type Device, layerNorm, rmsNorm, type Tensor } from '@ditkit/core'
import { Module, parameter } from './module'

export class LayerNorm extends Module {
  readonly weight: Tensor | undefined
  readonly bias: Tensor | undefined
  readonly eps: number

  constructor(device: Device, dim: number, options: { eps?: number; affine?: boolean } = {}) {
    super()
    const { eps = 1e-5, affine = true } = options
    this.eps = eps
    this.weight = affine ? parameter(device.ones([dim])) : undefined
    this.bias = affine ? parameter(device.zeros([dim])) : undefined
  }

  /** x [..., dim] */
  forward(x: Tensor): Tensor {
    return layerNorm(x, { weight: this.weight, bias: this.bias, eps: this.eps })
  }
}

export class RMSNorm extends Module {
  readonly weight: Tensor
  readonly eps: number

  constructor(device: Device, dim: number, options: { eps?: number } = {}) {
    super()
    this.eps = options.eps ?? 1e-6
    this.weight = parameter(device.ones([dim]))
  }

  /** x [..., dim] */
  forward(x: Tensor): Tensor {
    return rmsNorm(x, { weight: this.weight, eps: this.eps })
  }
}
