// What a generative model is trained to do and how it then draws: flow matching, or denoising diffusion. What a detector is
// trained to do is in detect/criterion.ts.

import type { RngKey, Tensor } from '@ditkit/core'
import type { Config } from '../config/schema'
import { diffusionObjective } from './diffusion'
import { flowObjective } from './flow'

/**
 * A model's output for x [n, …] at t: one time for all or n of them, as its timestep embedding takes them. In training the
 * key draws its dropouts.
 */
export type Predict = (x: Tensor, t: number | number[], key?: RngKey) => Tensor

export interface DrawRequest {
  /** Standard normal, [n, …]. */
  readonly noise: Tensor
  /** For samplers that draw noise as they go. */
  readonly key: RngKey
  /** Sees the state after each step, [n, …]; borrowed. */
  readonly onStep?: (state: Tensor) => void | Promise<void>
}

/** A batch on the host, as couplings of noise and data see it. */
export interface HostData {
  /** [rows, …]: what is in the tensor. */
  readonly values: Float32Array
  /** The n samples, or the n·G poses of n sets. */
  readonly rows: number
  /** [rows, c]: noise couples only with data of an equal condition. */
  readonly condition?: ArrayLike<number> | undefined
  /** [rows]: 1 = takes part. */
  readonly mask?: ArrayLike<number>
}

/** Dynamic thresholding clips at this quantile (Imagen). */
export const DYNAMIC_QUANTILE = 0.995

export interface Objective {
  /**
   * The mean loss of a batch [n, …], a scalar on the tape. Noise, time and the key that the model gets are functions of the
   * key alone.
   */
  loss(predict: Predict, data: Tensor, key: RngKey, host: HostData): Tensor
  /** How far a time that the model is told lies from noise (0) to data (1). */
  progress(t: number): number
  /** Draws samples [n, …] from as many of noise; the caller owns them. */
  draw(predict: Predict, request: DrawRequest): Promise<Tensor>
}

/** Of set prediction, which has no noise to draw from: any use of it is an error. */
const NOT_GENERATIVE: Objective = {
  loss: notGenerative,
  progress: notGenerative,
  draw: notGenerative,
}

function notGenerative(): never {
  throw new Error('objective=set-prediction does not draw from noise')
}

export function makeObjective(config: Config): Objective {
  switch (config.objective) {
    case 'flow':
      return flowObjective(config.flow, config.sample)
    case 'ddpm':
      return diffusionObjective(config.diffusion, config.sample)
    case 'set-prediction':
      return NOT_GENERATIVE
  }
}
