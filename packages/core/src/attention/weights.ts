// The softmax weights themselves, for those who want to look.

import { noGrad } from '../autograd/mode'
import { internally } from '../scope'
import type { Tensor } from '../tensor'
import type { AttentionOptions } from './options'
import { normalise } from './problem'
import { standardWeights } from './standard'

/**
 * The weights [B, H, Lq, Lk] that `attention(q, k, v, options)` multiplies v with, dropout included; 0 for excluded pairs, and
 * throughout a row that may attend to nothing. Materialised and without gradients.
 */
export function attentionWeights(q: Tensor, k: Tensor, options: AttentionOptions = {}): Tensor {
  const none = { q: false, k: false, v: false, bias: false, factors: false }
  return noGrad(() =>
    internally(() => {
      const { problem, operands } = normalise(
        { op: 'attentionWeights', caller: attentionWeights },
        q,
        k,
        k,
        options,
        none,
      )
      return standardWeights(problem, operands).weights
    }),
  )
}
