// The last layer of SceneDiT: from pose tokens to what is predicted of the poses.

import { add, concat, type Device, type RngKey, reshape, slice, type Tensor } from '@ditkit/core'
import { Linear, zeros } from '@ditkit/nn'
import { ConditionedBlock } from './conditioned-block'
import { FRAME_VECTORS, fromFrame, type PoseFrames } from './pose-geometry'
import type { CompleteSceneDiTConfig } from './scene-dit-config'

/**
 * Pose tokens [B, G, C] → [B, G, poseDim]; zero at first. With `ownAxes` the linear layer also gives a vector along the pose's own
 * axes for each of its vectors.
 */
export class PoseOutput extends ConditionedBlock {
  readonly linear: Linear
  private readonly vectors: number

  constructor(device: Device, key: RngKey, config: CompleteSceneDiTConfig) {
    const [linear, modulation] = key.split(2)
    // The last layer has nothing to gate.
    const conditioning = config.conditioning === 'none' ? 'none' : 'adaLN'
    super(device, modulation, { ...config, conditioning }, 1)
    const { poseDim, ownAxes, poseFrame, hiddenSize } = config
    this.vectors = ownAxes && poseFrame !== 'none' ? FRAME_VECTORS[poseFrame] : 0
    this.linear = new Linear(device, linear, hiddenSize, poseDim + 3 * this.vectors, { init: zeros, biasInit: zeros })
  }

  forward(h: Tensor, c: Tensor, frames: PoseFrames | undefined): Tensor {
    const out = this.linear.forward(this.normed(0, h, this.modulation(c)))
    if (this.vectors === 0 || !frames) return out
    const [batch, count] = out.shape
    const own = 3 * this.vectors
    const poseDim = out.shape[2] - own
    const turned = fromFrame(frames, reshape(slice(out, 2, poseDim), [batch, count, this.vectors, 3]))
    const moved = add(slice(out, 2, 0, own), reshape(turned, [batch, count, own]))
    return own === poseDim ? moved : concat([moved, slice(out, 2, own, poseDim)], 2)
  }
}
