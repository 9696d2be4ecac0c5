// What a model is trained to do and how it then draws: flow matching, or denoising diffusion.

import type { RngKey, Tensor } from '@ditkit/core'
import type { DiT } from '@ditkit/dit-model'
import type { Config } from '../config/schema'
import { diffusionObjective } from './diffusion'
import { flowObjective } from './flow'

export interface DrawRequest {
  /** Standard normal, [n, C, H, W]. */
  readonly noise: Tensor
  /** n classes; undefined for an unconditional model. */
  readonly labels: Int32Array | undefined
  /** 1 is none. */
  readonly guidance: number
  /** For samplers that draw noise as they go. */
  readonly key: RngKey
  /** Sees the state after each step, [n, C, H, W]; borrowed. */
  readonly onStep?: (state: Tensor) => void | Promise<void>
}

export interface Objective {
  /**
   * The mean loss of a batch, a scalar on the tape. Noise, time and label dropout are functions of the key alone.
   * images [n, C, H, W] in [−1, 1].
   */
  loss(model: DiT, images: Tensor, labels: Int32Array | undefined, key: RngKey): Tensor
  /** Draws images [n, C, H, W]; the caller owns them. The model is in eval mode. */
  draw(model: DiT, request: DrawRequest): Promise<Tensor>
}

export function makeObjective(config: Config): Objective {
  return config.objective === 'flow' ? flowObjective(config.flow) : diffusionObjective(config.diffusion)
}
