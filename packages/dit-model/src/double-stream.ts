// The double-stream block of MMDiT (Esser et al. 2024, "Scaling Rectified Flow Transformers", arXiv:2403.03206): poses and
// their context (scene and text tokens) have weights of their own and attend to each other in one attention.

import {
  concat,
  type Device,
  packedAttention,
  packedCrossAttention,
  type RngKey,
  reshape,
  slice,
  type Tensor,
} from '@ditkit/core'
import { MLP, Module, xavierUniform, zeros } from '@ditkit/nn'
import { type BlockConfig, type BlockInputs, ConditionedBlock, type SceneBlock } from './conditioned-block'
import { KeyProjection, SelfAttention } from './token-attention'

/** The context of the last block: nobody reads what it would become, so it only gives keys and values. */
class KeyStream extends ConditionedBlock {
  readonly attn: KeyProjection

  constructor(device: Device, key: RngKey, config: BlockConfig) {
    const [attention, modulation] = key.split(2)
    super(device, modulation, config, 1)
    this.attn = new KeyProjection(device, attention, config)
  }

  /** [B, N, 2, H, D] */
  pack(h: Tensor, c: Tensor): Tensor {
    return this.attn.pack(this.normed(0, h, this.modulation(c)))
  }
}

/** One stream of tokens [B, N, C]: what goes into the joint attention, and what becomes of what comes out. */
class Stream extends ConditionedBlock {
  readonly attn: SelfAttention
  readonly mlp: MLP

  constructor(device: Device, key: RngKey, config: BlockConfig) {
    const [attention, mlp, modulation] = key.split(3)
    super(device, modulation, config, 2)
    const { hiddenSize: hidden, mlpRatio, computeDtype } = config
    this.attn = new SelfAttention(device, attention, config)
    this.mlp = new MLP(device, mlp, hidden, Math.floor(hidden * mlpRatio), {
      init: xavierUniform,
      biasInit: zeros,
      computeDtype,
    })
  }

  forward(h: Tensor, c: Tensor): { qkv: Tensor; finish: (attended: Tensor) => Tensor } {
    const m = this.modulation(c)
    const finish = (attended: Tensor) => {
      const x = this.joined(0, h, m, into => this.attn.proj.forward(attended, 'none', into))
      return this.branch(1, x, m, (y, into) => this.mlp.forward(y, into))
    }
    return { qkv: this.attn.pack(this.normed(0, h, m)), finish }
  }
}

/** h [B, G + M, C], poses and then context, → the same; of the last block the poses alone. */
export class DoubleStreamBlock extends Module implements SceneBlock {
  readonly pose: Stream
  readonly context: Stream | KeyStream
  readonly dropout: number

  constructor(device: Device, key: RngKey, config: BlockConfig, last: boolean) {
    super()
    const [pose, context] = key.split(2)
    this.pose = new Stream(device, pose, config)
    this.context = last ? new KeyStream(device, context, config) : new Stream(device, context, config)
    this.dropout = config.attentionDropout
  }

  forward(h: Tensor, { c, mask }: BlockInputs, poses: number, key: RngKey | undefined): Tensor {
    const pose = this.pose.forward(slice(h, 1, 0, poses), c)
    const behind = slice(h, 1, poses)
    const { computeDtype } = this.pose.attn.qkv
    const options = { keyMask: mask, dropout: this.training ? this.dropout : 0, rng: key, computeDtype }
    if (this.context instanceof KeyStream) {
      const [batch, , , heads, dim] = pose.qkv.shape
      const q = reshape(slice(pose.qkv, 2, 0, 1), [batch, poses, heads, dim])
      const kv = concat([slice(pose.qkv, 2, 1), this.context.pack(behind, c)], 1)
      return pose.finish(reshape(packedCrossAttention(q, kv, options), [batch, poses, -1]))
    }
    const context = this.context.forward(behind, c)
    const attended = reshape(packedAttention(concat([pose.qkv, context.qkv], 1), options), h.shape)
    return concat([pose.finish(slice(attended, 1, 0, poses)), context.finish(slice(attended, 1, poses))], 1)
  }
}
