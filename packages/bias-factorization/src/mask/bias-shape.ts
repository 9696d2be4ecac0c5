// The shapes of a dense bias and of the mask beside it.

import { reshape, Tensor } from '@ditkit/core'
import { shown } from '../factors'

/** A bias [Lq, Lk] or [B|1, H|1, Lq, Lk] as the latter. Throws for other shapes and dtypes, and for a side without tokens. */
export function biasTensor(op: string, bias: unknown): Tensor {
  if (!(bias instanceof Tensor)) throw new TypeError(`${op}: bias is ${typeof bias} (expected a Tensor)`)
  if (bias.dtype !== 'f32' && bias.dtype !== 'f64') {
    throw new TypeError(`${op}: bias is ${bias.dtype} (expected f32 or f64; a mask is attention's option mask)`)
  }
  if (bias.rank !== 2 && bias.rank !== 4) {
    const hint = bias.rank === 3 ? '; one per head is [1, H, Lq, Lk], one per sample [B, 1, Lq, Lk]' : ''
    throw new RangeError(
      `${op}: bias has shape ${shown(bias.shape)} (expected [Lq, Lk] or [B or 1, H or 1, Lq, Lk]${hint})`,
    )
  }
  if (bias.size === 0) throw new RangeError(`${op}: bias has shape ${shown(bias.shape)}: there is nothing in it`)
  return reshape(bias, bias.rank === 2 ? [1, 1, ...bias.shape] : bias.shape)
}

/** A mask that broadcasts to the bias [B|1, H|1, Lq, Lk], with its four axes. Throws for other shapes and dtypes. */
export function maskTensor(op: string, mask: unknown, bias: Tensor): Tensor {
  if (!(mask instanceof Tensor)) throw new TypeError(`${op}: mask is ${typeof mask} (expected a Tensor)`)
  if (mask.dtype !== 'bool') {
    throw new TypeError(
      `${op}: mask is ${mask.dtype} (expected bool, true = may attend; an additive mask is part of the bias)`,
    )
  }
  const { shape } = mask
  const axes = shape.length === 2 ? [1, 1, ...shape] : shape.length === 3 ? [shape[0], 1, ...shape.slice(1)] : shape
  if (axes.length !== 4 || axes.some((n, axis) => n !== 1 && n !== bias.shape[axis])) {
    throw new RangeError(
      `${op}: mask has shape ${shown(shape)}, which does not broadcast to the bias ${shown(bias.shape)}; ` +
        'a mask of samples or heads that share their bias goes to attention alone',
    )
  }
  return reshape(mask, axes)
}
