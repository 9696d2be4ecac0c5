// Keys that every query may attend to besides those it is given: PyTorch's `add_bias_kv` and `add_zero_attn`.

import { type AttentionOptions, concat, expand, pad, reshape, type Tensor } from '@ditkit/core'

/** x [B, S, H, D] with `learned` [1, 1, H·D] after its tokens, where given, and then, if `zero`, a token of zeros. */
export function withExtraTokens(x: Tensor, learned: Tensor | undefined, zero: boolean): Tensor {
  const [batch, , heads, dim] = x.shape
  const longer = learned ? concat([x, expand(reshape(learned, [1, 1, heads, dim]), [batch, 1, heads, dim])], 1) : x
  return zero ? padAxis(longer, 1, 1, 0) : longer
}

/** The options for `extra` keys more, which no mask hides and no bias moves. @throws TypeError for what counts keys from one end. */
export function withExtraKeys(options: AttentionOptions, keys: number, extra: number): AttentionOptions {
  if (extra === 0) return options
  for (const name of ['keyLengths', 'offsets', 'causal'] as const) {
    if (options[name])
      throw new TypeError(
        `MultiheadAttention: addBiasKV and addZeroAttention do not go with ${name}, which counts keys; use keyMask or mask`,
      )
  }
  const { keyMask, mask, bias, factoredBias } = options
  const longer = (x: Tensor | undefined, value: number) => {
    if (!x) return undefined
    const whole = x.shape[x.rank - 1] === keys ? x : expand(x, [...x.shape.slice(0, -1), keys])
    return padAxis(whole, x.rank - 1, extra, value)
  }
  return {
    ...options,
    keyMask: longer(keyMask, 1),
    mask: longer(mask, 1),
    bias: longer(bias, 0),
    factoredBias: factoredBias && { ...factoredBias, key: padAxis(factoredBias.key, 1, extra, 0) },
  }
}

function padAxis(x: Tensor, axis: number, count: number, value: number): Tensor {
  return pad(
    x,
    x.shape.map((_, i) => [0, i === axis ? count : 0] as const),
    value,
  )
}
