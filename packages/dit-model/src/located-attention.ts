// Cross-attention that also reads where the things are that it looks at, as seen from the pose that looks: the point values of
// invariant point attention (Jumper et al. 2021, "Highly accurate protein structure prediction with AlphaFold", supplement 1.8.2).

import {
  attention,
  concat,
  type Device,
  expand,
  type GatedInto,
  type RngKey,
  reshape,
  slice,
  type Tensor,
  unsqueeze,
} from '@ditkit/core'
import { GEOMETRY_CHANNELS, relativeGeometry } from './pose-geometry'
import { CrossAttention, type CrossAttentionOptions, type TokenAttentionConfig } from './token-attention'

/** Each head's output is followed by the offset, direction and distance, in the pose's frame, of the mean place that it looks at. */
export class LocatedCrossAttention extends CrossAttention {
  constructor(device: Device, key: RngKey, config: TokenAttentionConfig) {
    super(device, key, config, config.hiddenSize + config.numHeads * GEOMETRY_CHANNELS)
  }

  /** x [B, N, C] looks at context [B, M, C] → [B, N, C]. */
  override forward(x: Tensor, context: Tensor, options: CrossAttentionOptions, into?: GatedInto): Tensor {
    const { places, ...rest } = options
    if (!places) throw new Error('LocatedCrossAttention: options.places is missing')
    const { frames, positions } = places
    const { heads } = this
    const [batch, tokens, hidden] = x.shape
    const keys = context.shape[1]
    const kv = this.pack(context)
    const part = (index: number) => reshape(slice(kv, 2, index, index + 1), [batch, keys, heads, hidden / heads])
    const placed = expand(unsqueeze(positions, 2), [batch, keys, heads, 3])
    // In f32 whatever the products: places do not bear rounding.
    const seen = attention(this.queries(x), part(0), concat([part(1), placed], 3), rest)
    const geometry = relativeGeometry(frames, slice(seen, 3, hidden / heads))
    const all = concat([slice(seen, 3, 0, hidden / heads), geometry], 3)
    return this.proj.forward(reshape(all, [batch, tokens, -1]), 'none', into)
  }
}
