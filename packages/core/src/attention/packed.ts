// Attention over packed projections, used in place: nothing is split or copied, forward or backward.

import { checkTensor } from '../ops/operands'
import { showShape } from '../shape'
import type { Tensor } from '../tensor'
import { callAttention } from './call'
import type { AttentionOptions } from './options'

function checkPacked(op: string, name: string, x: Tensor, parts: number): void {
  checkTensor(op, name, x)
  if (x.rank !== 5 || x.shape[2] !== parts) {
    throw new RangeError(
      `${op}: ${name} has shape ${showShape(x.shape)} (expected [batch, tokens, ${parts}, heads, head dim])`,
    )
  }
}

/** Self-attention over qkv [B, N, 3, H, D] (query, key, value along axis 2) → [B, N, H, D]. Options as of `attention`. */
export function packedAttention(qkv: Tensor, options: AttentionOptions = {}): Tensor {
  checkPacked('packedAttention', 'qkv', qkv, 3)
  return callAttention(
    { op: 'packedAttention', caller: packedAttention },
    [{ tensor: qkv, parts: ['q', 'k', 'v'] }],
    options,
  )
}

/** Cross-attention of q [B, Lq, H, D] over kv [B, Lk, 2, H, D] (key, value along axis 2) → [B, Lq, H, D]. */
export function packedCrossAttention(q: Tensor, kv: Tensor, options: AttentionOptions = {}): Tensor {
  checkPacked('packedCrossAttention', 'kv', kv, 2)
  return callAttention(
    { op: 'packedCrossAttention', caller: packedCrossAttention },
    [
      { tensor: q, parts: ['q'] },
      { tensor: kv, parts: ['k', 'v'] },
    ],
    options,
  )
}
