// Sums and products of factored biases, which are factored again: factors side by side for a sum, products of all their
// columns (Khatri and Rao 1968) for a product.

import { concat, expand, isFinite, mul, noGrad, reshape, scope, Tensor, where } from '@ditkit/core'
import { commonSize, type FactoredBias, rankOf, shown } from '../factors'

const SIDES = ['query', 'key'] as const
type Side = (typeof SIDES)[number]

/** The sizes of axes 0 to 2 that one side of several biases has when they are put together. */
function commonAxes(op: string, biases: readonly FactoredBias[], side: Side): number[] {
  return ['batches', 'tokens', 'heads'].map((what, axis) => {
    const sizes = biases.map(bias => bias[side].shape[axis])
    if (what !== 'tokens') return commonSize(op, `the ${what} of the ${side} factors`, sizes)
    if (sizes.some(n => n !== sizes[0])) {
      throw new RangeError(`${op}: the ${side} factors have ${sizes.join(' and ')} tokens (expected the same number)`)
    }
    return sizes[0]
  })
}

/** The sum of biases, of the sum of their ranks. Throws for none, and for shapes that do not go together. */
export function addFactors(...biases: readonly FactoredBias[]): FactoredBias {
  const op = 'addFactors'
  if (biases.length === 0) throw new RangeError(`${op}: got no bias (expected at least one)`)
  biases.forEach((bias, i) => void rankOf(op, `bias ${i}`, bias))
  return scope(() => {
    const side = (name: Side) => {
      const axes = commonAxes(op, biases, name)
      const factors = biases.map(bias => {
        const factor = bias[name]
        const shape = [...axes, factor.shape[3]]
        return factor.shape.join() === shape.join() ? factor : expand(factor, shape)
      })
      return concat(factors, 3)
    }
    return { query: side('query'), key: side('key') }
  }, op)
}

/** The elementwise product of two biases, of the product of their ranks. Throws for shapes that do not go together. */
export function multiplyFactors(a: FactoredBias, b: FactoredBias): FactoredBias {
  const op = 'multiplyFactors'
  const ranks = [rankOf(op, 'a', a), rankOf(op, 'b', b)]
  return scope(() => {
    const side = (name: Side) => {
      const axes = commonAxes(op, [a, b], name)
      const first = reshape(a[name], [...a[name].shape, 1])
      const second = reshape(b[name], [...b[name].shape.slice(0, 3), 1, ranks[1]])
      return reshape(mul(first, second), [...axes, ranks[0] * ranks[1]])
    }
    return { query: side('query'), key: side('key') }
  }, op)
}

/** A number for the whole bias, a tensor [H] for each head, or a tensor [B|1, Lq, H|1] for each query. */
export type BiasScale = number | Tensor

/**
 * scale·bias, of the same rank; a scale that is a tensor may be learned.
 * Throws for a scale of another shape, and a number that is not finite; one per head that is not is reported at the next read. (One per query may
 * be anything where attention's masks leave the query out.)
 */
export function scaleFactors(bias: FactoredBias, scale: BiasScale): FactoredBias {
  rankOf('scaleFactors', 'bias', bias)
  return scaled('scaleFactors', bias, scale)
}

/**
 * `scaleFactors` for the inside of another function, which errors name. `queryMask` [B|1, Lq, 1]: which queries take part; true: all do, so that a scale per
 * query is looked at too.
 */
export function scaled(
  op: string,
  { query, key }: FactoredBias,
  scale: BiasScale,
  queryMask?: Tensor | true,
): FactoredBias {
  if (!(scale instanceof Tensor)) {
    if (typeof scale !== 'number' || !Number.isFinite(scale)) {
      throw new RangeError(`${op}: scale is ${scale} (expected a finite number, or a tensor)`)
    }
    return { query: mul(query, scale), key }
  }
  const { shape } = scale
  const [batch, tokens, heads] = query.shape
  const perHead = shape.length === 1 && (heads === 1 || shape[0] === heads || shape[0] === 1)
  const perQuery =
    shape.length === 3 &&
    (batch === 1 || shape[0] === batch || shape[0] === 1) &&
    shape[1] === tokens &&
    (heads === 1 || shape[2] === heads || shape[2] === 1)
  if (!perHead && !perQuery) {
    const [b, h] = [batch === 1 ? 'B or 1' : `${batch} or 1`, heads === 1 ? 'H or 1' : `${heads} or 1`]
    throw new RangeError(
      `${op}: scale has shape ${shown(shape)} (expected [${h}], per head, or [${b}, ${tokens}, ${h}], per query)`,
    )
  }
  return scope(() => {
    if (perHead || queryMask) {
      const seen = perHead || !(queryMask instanceof Tensor) ? scale : noGrad(() => where(queryMask, scale, 0))
      reportNonFinite(op, 'scale', seen)
    }
    return { query: mul(query, reshape(scale, perHead ? [1, 1, shape[0], 1] : [...shape, 1])), key }
  })
}

/** Rejects the next read where a number that goes into every bias entry of a head or query is NaN or Infinity. */
export function reportNonFinite(op: string, name: string, values: Tensor): void {
  values.device.backend.check(
    noGrad(() => isFinite(values)),
    { op },
    `${name} holds a number that is not finite (expected finite ones: the bias of such a head or query would be NaN)`,
  )
}

/** The separable bias query_i·key_j, of rank 1: query [B|1, Lq, H|1], key [B|1, Lk, H|1]. Throws for other ranks of the tensors. */
export function outerFactors(query: Tensor, key: Tensor): FactoredBias {
  const op = 'outerFactors'
  for (const [name, side] of Object.entries({ query, key })) {
    if (!(side instanceof Tensor) || side.rank !== 3) {
      const got = side instanceof Tensor ? `has shape ${shown(side.shape)}` : `is ${typeof side}`
      throw new RangeError(`${op}: ${name} ${got} (expected a tensor [B or 1, tokens, H or 1])`)
    }
  }
  const factors = { query: reshape(query, [...query.shape, 1]), key: reshape(key, [...key.shape, 1]) }
  rankOf(op, 'factors', factors)
  return factors
}
