// The two factors of a low-rank bias, as attention's option `factoredBias` takes them, and what all makers of factors share.

import { matmul, permute, scope, Tensor } from '@ditkit/core'

/** query [B|1, Lq, H|1, R] and key [B|1, Lk, H|1, R]: bias[b, h, i, j] = Σ_r query[b, i, h, r]·key[b, j, h, r]. */
export interface FactoredBias {
  readonly query: Tensor
  readonly key: Tensor
}

/** `[2, 900, 8, 4]` */
export const shown = (shape: readonly number[]) => `[${shape.join(', ')}]`

/** Throws, naming `op` and the factor, unless the two make a bias; returns their rank R. */
export function rankOf(op: string, name: string, factors: FactoredBias): number {
  for (const side of ['query', 'key'] as const) {
    const factor = factors?.[side]
    if (!(factor instanceof Tensor)) {
      throw new TypeError(`${op}: ${name}.${side} is ${typeof factor} (expected a Tensor [B or 1, tokens, H or 1, R])`)
    }
    if (factor.rank !== 4 || factor.shape[3] < 1) {
      throw new RangeError(
        `${op}: ${name}.${side} has shape ${shown(factor.shape)} (expected [B or 1, tokens, H or 1, R])`,
      )
    }
  }
  const { query, key } = factors
  if (query.shape[3] !== key.shape[3]) {
    throw new RangeError(
      `${op}: ${name}.query has rank ${query.shape[3]} but ${name}.key ${key.shape[3]} (expected the same R)`,
    )
  }
  for (const [axis, what] of [
    [0, 'batch'],
    [2, 'heads'],
  ] as const) {
    commonSize(op, `${what} of ${name}.query and ${name}.key`, [query.shape[axis], key.shape[axis]])
  }
  return query.shape[3]
}

/** The size that axes broadcast to, where each is that or 1. */
export function commonSize(op: string, what: string, sizes: readonly number[]): number {
  const size = sizes.find(n => n !== 1) ?? 1
  if (sizes.some(n => n !== 1 && n !== size)) {
    throw new RangeError(`${op}: ${what} do not go together: ${sizes.join(' and ')} (expected equal sizes, or 1)`)
  }
  return size
}

/** The bias itself, [B|1, H|1, Lq, Lk]: to look at, and for those who need it dense. Differentiable. Throws for shapes that do not fit. */
export function denseBias(factors: FactoredBias): Tensor {
  rankOf('denseBias', 'factors', factors)
  const { query, key } = factors
  return scope(() => matmul(permute(query, [0, 2, 1, 3]), permute(key, [0, 2, 3, 1])), 'denseBias')
}
