// A dense layer.

import { type ComputeDType, type Device, type GatedInto, linear, type RngKey, type Tensor } from '@ditkit/core'
import { type Initializer, kaimingUniform, uniformInit } from './init'
import { Module, parameter } from './module'

export interface LinearOptions {
  bias?: boolean
  /** Default: as PyTorch, uniform in ±1/√inFeatures. */
  init?: Initializer
  /** Default: as PyTorch, uniform in ±1/√inFeatures. */
  biasInit?: Initializer
  /** What the products round their operands to, forward and backward; weights and results are f32 all the same. Default 'f32'. */
  computeDtype?: ComputeDType
}

/** y = x·weightᵀ + bias, for x [..., inFeatures]; weight is [outFeatures, inFeatures]. */
export class Linear extends Module {
  readonly weight: Tensor
  readonly bias: Tensor | undefined
  readonly computeDtype: ComputeDType

  constructor(device: Device, key: RngKey, inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super()
    const {
      bias = true,
      computeDtype = 'f32',
      init = kaimingUniform,
      biasInit = uniformInit(1 / Math.sqrt(inFeatures)),
    } = options
    this.computeDtype = computeDtype
    const [weightKey, biasKey] = key.split(2)
    this.weight = parameter(init(device, [outFeatures, inFeatures], weightKey))
    this.bias = bias ? parameter(biasInit(device, [outFeatures], biasKey)) : undefined
  }

  /** `activation`, or what `into` says, is applied by the matrix product's epilogue. */
  forward(x: Tensor, activation: 'none' | 'gelu' | 'silu' | 'relu' = 'none', into?: GatedInto): Tensor {
    return linear(x, this.weight, this.bias, { activation, into, computeDtype: this.computeDtype })
  }
}
