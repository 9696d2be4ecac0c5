// Weights of segments of the keys (modalities, cameras, rooms) as factors of rank S, the number of segments.

import { embedding, greater, max, noGrad, reshape, scope, Tensor } from '@ditkit/core'
import { type FactoredBias, shown } from '../factors'

/**
 * weights[b, i, h, segment of key j]: weights [B|1, Lq, S] or [B|1, Lq, H|1, S], which may be learned. `segments` says where keys
 * belong: the number of keys of each segment, in order, as `[128 * 128, 6 * 20 * 50]` for LiDAR and cameras, or a tensor i32 [Lk] or [B|1, Lk] of
 * numbers below S. Factors [B|1, Lq, H|1, S] and [B|1, Lk, 1, S]. Throws for a segment without keys, and for shapes that do not go
 * together; in a tensor a segment that no sample has keys of, and a number out of range, are reported at the next read.
 */
export function segmentFactors(weights: Tensor, segments: readonly number[] | Tensor): FactoredBias {
  const op = 'segmentFactors'
  if (!(weights instanceof Tensor) || (weights.rank !== 3 && weights.rank !== 4)) {
    const got = weights instanceof Tensor ? `has shape ${shown(weights.shape)}` : `is ${typeof weights}`
    throw new RangeError(`${op}: weights ${got} (expected a tensor [B or 1, Lq, S] or [B or 1, Lq, H or 1, S])`)
  }
  const { device, dtype, shape } = weights
  const count = shape[shape.length - 1]
  return scope(() => {
    const ids = segments instanceof Tensor ? segments : segmentIds(op, weights, segments)
    if (ids.dtype !== 'i32' || (ids.rank !== 1 && ids.rank !== 2)) {
      throw new RangeError(
        `${op}: segments is ${ids.dtype} ${shown(ids.shape)} (expected i32 [Lk] or [B or 1, Lk], or numbers of keys)`,
      )
    }
    const [batch, tokens] = ids.rank === 1 ? [1, ids.shape[0]] : ids.shape
    const identity = Array.from({ length: count * count }, (_, i) => (i % (count + 1) === 0 ? 1 : 0))
    const oneHot = embedding(device.tensor(identity, [count, count], { dtype }), ids)
    if (segments instanceof Tensor) reportEmpty(op, oneHot)
    return {
      query: reshape(weights, shape.length === 4 ? shape : [shape[0], shape[1], 1, count]),
      key: reshape(oneHot, [batch, tokens, 1, count]),
    }
  }, op)
}

/** oneHot [Lk, S] or [B|1, Lk, S]: rejects the next read where a segment has no keys at all. */
function reportEmpty(op: string, oneHot: Tensor): void {
  const count = oneHot.shape[oneHot.rank - 1]
  const present = noGrad(() => greater(max(reshape(oneHot, [-1, count]), 0), 0))
  oneHot.device.backend.check(
    present,
    { op },
    'a segment has no keys (expected at least 1: leave an empty modality out, and its weight too)',
  )
}

function segmentIds(op: string, { device, shape }: Tensor, lengths: readonly number[]): Tensor {
  const count = shape[shape.length - 1]
  if (!Array.isArray(lengths) || lengths.length !== count) {
    throw new RangeError(
      `${op}: weights of shape ${shown(shape)} are for ${count} segments, but segments is ${lengths} (expected ${count} numbers of keys)`,
    )
  }
  const wrong = lengths.findIndex(n => !Number.isInteger(n) || n < 1)
  if (wrong >= 0) {
    throw new RangeError(
      `${op}: segment ${wrong} has ${lengths[wrong]} keys (expected at least 1: leave an empty modality out, and its weight too)`,
    )
  }
  const ids = lengths.flatMap((n, segment) => new Array<number>(n).fill(segment))
  return device.tensor(Int32Array.from(ids), [ids.length])
}
