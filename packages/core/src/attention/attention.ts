// Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762) with masks, bias, factored bias, packing and
// dropout, by the best kernel the device has.

import type { Tensor } from '../tensor'
import { callAttention } from './call'
import type { AttentionOptions } from './options'

/**
 * softmax(scale·q·kᵀ + bias)·v per head: q [B, Lq, H, D], k [B, Lk, H, D], v [B, Lk, H, Dv] → [B, Lq, H, Dv]. Any may be a strided view,
 * read in place when its last axis is dense. A query that may attend to nothing gives 0, and what is masked has no
 * influence. Gradients for q, k, v, bias and both factors. Throws for shapes, dtypes and devices that do not go together, and when the kernel
 * asked for cannot take the call; lengths, offsets and mask values are checked on the device and reported at the next read.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  return callAttention(
    { op: 'attention', caller: attention },
    [
      { tensor: q, parts: ['q'] },
      { tensor: k, parts: ['k'] },
      { tensor: v, parts: ['v'] },
    ],
    options,
  )
}
