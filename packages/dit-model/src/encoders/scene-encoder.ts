// The point-cloud encoder that a config names.

import type { Device, RngKey } from '@ditkit/core'
import { type PerceiverConfig, PerceiverEncoder } from './perceiver'
import { PointNet, type PointNetConfig } from './pointnet'
import type { SceneEncoder } from './scene-tokens'
import { type SetAbstractionConfig, SetAbstractionEncoder } from './set-abstraction'

export type SceneEncoderConfig = PointNetConfig | SetAbstractionConfig | PerceiverConfig

/** @throws RangeError for a type that there is not, and for fewer than three channels. */
export function makeSceneEncoder(device: Device, key: RngKey, config: SceneEncoderConfig): SceneEncoder {
  if (!(config.channels >= 3))
    throw new RangeError(`scene encoder: channels is ${config.channels}, expected at least the 3 of x, y and z`)
  switch (config.type) {
    case 'pointnet':
      return new PointNet(device, key, config)
    case 'set-abstraction':
      return new SetAbstractionEncoder(device, key, config)
    case 'perceiver':
      return new PerceiverEncoder(device, key, config)
    default: {
      const { type } = config as { type: unknown }
      throw new RangeError(`scene encoder: type '${type}' is not one of pointnet, set-abstraction, perceiver`)
    }
  }
}
