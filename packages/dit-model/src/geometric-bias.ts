// What the scene cross-attention adds to its scores for where a token is, as seen from the pose that looks. Both are scaled
// per head by a number that is 0 at first.

import { type Device, mul, permute, type RngKey, reshape, type Tensor } from '@ditkit/core'
import { MLP, Module, parameter } from '@ditkit/nn'
import { GEOMETRY_CHANNELS } from './pose-geometry'

/** relativeGeometry [B, G, N, 7] → bias [B, H, G, N], by a small MLP. */
export class GeometricBias extends Module {
  readonly mlp: MLP
  readonly scale: Tensor

  constructor(device: Device, key: RngKey, heads: number, hidden: number) {
    super()
    this.mlp = new MLP(device, key, GEOMETRY_CHANNELS, hidden, { out: heads })
    this.scale = parameter(device.zeros([heads]))
  }

  forward(geometry: Tensor): Tensor {
    return permute(mul(this.mlp.forward(geometry), this.scale), [0, 3, 1, 2])
  }
}

/** −scale·‖distance‖² per head as factors of rank 5, from those of `distanceFactors`; no [G, N] matrix is made. */
export class DistanceBias extends Module {
  readonly scale: Tensor

  constructor(device: Device, heads: number) {
    super()
    this.scale = parameter(device.zeros([heads]))
  }

  /** query [B, G, 1, 5], key [B, N, 1, 5] → the same with a query for each head. */
  forward(query: Tensor, key: Tensor): { query: Tensor; key: Tensor } {
    return { query: mul(query, reshape(this.scale, [1, 1, -1, 1])), key }
  }
}
