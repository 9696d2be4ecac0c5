// Coordinates of tokens on their way into factors: checked, centred per sample, and cleared where a mask leaves them out.

import {
  add,
  detach,
  div,
  isFinite,
  maximum,
  mul,
  noGrad,
  notEqual,
  reshape,
  sub,
  sum,
  Tensor,
  where,
} from '@ditkit/core'
import { commonSize, shown } from '../factors'

/** Which tokens take part, 1 or true: bool, or 0 and 1, [B|1, L]. The coordinates of the others may be anything, NaN too. */
export interface TokenMasks {
  readonly queryMask?: Tensor
  readonly keyMask?: Tensor
}

/** Points [B|1, L, n] about the centre, 0 where a mask leaves them out, and the masks as bool [B|1, L, 1]. */
export interface CentredPoints {
  readonly query: Tensor
  readonly key: Tensor
  readonly queryMask: Tensor | undefined
  readonly keyMask: Tensor | undefined
}

/**
 * Both sets of points about the middle between their two means, per sample: then no coordinate is much larger than the largest distance.
 * Differences, and so all gradients, are the same for any centre, which is why it takes part in no gradient.
 */
export function centredPoints(op: string, query: Tensor, key: Tensor, masks: TokenMasks): CentredPoints {
  const batch = checkPoints(op, query, key)
  const queryMask = tokenMask(op, 'queryMask', masks.queryMask, query, batch)
  const keyMask = tokenMask(op, 'keyMask', masks.keyMask, key, batch)
  const centre = noGrad(() => mul(add(meanOf(query, queryMask), meanOf(key, keyMask)), 0.5))
  const about = (name: string, x: Tensor, mask: Tensor | undefined) => {
    reportNonFinite(op, name, x, mask)
    return mask ? where(mask, sub(x, centre), 0) : sub(x, centre)
  }
  return { query: about('query', query, queryMask), key: about('key', key, keyMask), queryMask, keyMask }
}

function checkPoints(op: string, query: Tensor, key: Tensor): number {
  for (const [name, points] of Object.entries({ query, key })) {
    if (!(points instanceof Tensor)) throw new TypeError(`${op}: ${name} is ${typeof points} (expected a Tensor)`)
    if (points.rank !== 3 || points.shape[1] < 1 || points.shape[2] < 1) {
      throw new RangeError(
        `${op}: ${name} has shape ${shown(points.shape)} (expected [B or 1, tokens, n], one point per token)`,
      )
    }
  }
  if (query.shape[2] !== key.shape[2]) {
    throw new RangeError(
      `${op}: query has points of ${query.shape[2]} dimensions but key of ${key.shape[2]} (expected the same n)`,
    )
  }
  return commonSize(op, 'the batches of query and key', [query.shape[0], key.shape[0]])
}

function tokenMask(
  op: string,
  name: string,
  mask: Tensor | undefined,
  { shape: [, tokens] }: Tensor,
  batch: number,
): Tensor | undefined {
  if (mask === undefined) return undefined
  if (!(mask instanceof Tensor)) throw new TypeError(`${op}: ${name} is ${typeof mask} (expected a Tensor)`)
  if (mask.rank !== 2 || mask.shape[1] !== tokens || ![1, mask.shape[0]].includes(batch)) {
    throw new RangeError(
      `${op}: ${name} has shape ${shown(mask.shape)} (expected [${batch}, ${tokens}]; 1 or true takes part)`,
    )
  }
  return reshape(mask.dtype === 'bool' ? mask : notEqual(mask, 0), [...mask.shape, 1])
}

/** Mean over the tokens that take part, [B|1, 1, n]; 0 where none does. */
function meanOf(points: Tensor, mask: Tensor | undefined): Tensor {
  const values = detach(points)
  const options = { keepDims: true }
  if (!mask) return mul(sum(values, 1, options), 1 / points.shape[1])
  const count = sum(where(mask, points.device.ones([1], { dtype: points.dtype }), 0), 1, options)
  return div(sum(where(mask, values, 0), 1, options), maximum(count, 1))
}

/** One such coordinate makes the centre NaN, and with it the whole bias: rejects the next read. */
function reportNonFinite(op: string, name: string, points: Tensor, mask: Tensor | undefined): void {
  const finite = noGrad(() => isFinite(mask ? where(mask, points, 0) : points))
  points.device.backend.check(
    finite,
    { op },
    `${name} holds a coordinate that is not finite (leave padding out with ${name}Mask)`,
  )
}
