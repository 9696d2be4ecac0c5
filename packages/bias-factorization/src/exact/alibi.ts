// ALiBi (Press et al. 2021, arXiv:2108.12409) as factors of rank 2.

import { type Device, mul, reshape, scope, Tensor } from '@ditkit/core'
import { type FactoredBias, shown } from '../factors'
import { reportNonFinite } from './combine'

export interface AlibiOptions {
  readonly queryTokens: number
  readonly keyTokens: number
  /** m of each head: numbers, or a tensor [H] that may be learned. `alibiSlopes(heads)` gives the paper's. */
  readonly slopes: readonly number[] | Tensor
  /** Which query and key have distance 0, as attention's option `causal`: the first ones (default), or the last ones. */
  readonly align?: 'top-left' | 'bottom-right'
  /** 'symmetric' is refused. */
  readonly form?: 'causal' | 'symmetric'
}

/** The paper's slopes: 2^(−8h/H) for H a power of two; else those of the power below, then every other one of the power above. */
export function alibiSlopes(heads: number): number[] {
  if (!Number.isInteger(heads) || heads < 1) {
    throw new RangeError(`alibiSlopes: heads is ${heads} (expected a whole number above 0)`)
  }
  const power = 2 ** Math.floor(Math.log2(heads))
  const geometric = (n: number) => Array.from({ length: n }, (_, h) => 2 ** ((-8 * (h + 1)) / n))
  const between = geometric(2 * power).filter((_, h) => h % 2 === 0)
  return [...geometric(power), ...between].slice(0, heads)
}

/**
 * −m·(i − j) per head: query [1, Lq, H, 2], key [1, Lk, 1, 2]. Right for keys up to the query, so call attention with `causal` of
 * the same alignment. Exact but for the rounding of m·i: 1e-7 of the largest entry. Throws for the symmetric form −m·|i − j|, which has no
 * low rank; slopes that are not finite are reported at the next read.
 */
export function alibiFactors(device: Device, options: AlibiOptions): FactoredBias {
  const op = 'alibiFactors'
  const { queryTokens, keyTokens, slopes, align = 'top-left', form = 'causal' } = options
  if (form === 'symmetric') {
    throw new RangeError(
      `${op}: the symmetric form −m·|i − j| has full rank, as its kink runs along the diagonal: no factors are cheaper than the bias. ` +
        "Use form 'causal' with attention's option causal, or give the symmetric one to attention as a dense bias",
    )
  }
  if (form !== 'causal') throw new RangeError(`${op}: form is ${form} (expected 'causal')`)
  for (const [name, n] of Object.entries({ queryTokens, keyTokens })) {
    if (!Number.isInteger(n) || n < 1) throw new RangeError(`${op}: ${name} is ${n} (expected a whole number above 0)`)
  }
  if (align !== 'top-left' && align !== 'bottom-right') {
    throw new RangeError(`${op}: align is ${align} (expected 'top-left' or 'bottom-right')`)
  }
  return scope(() => {
    const perHead = slopesTensor(op, device, slopes)
    // Positions are counted from the middle, so that less is rounded away where i and j are close.
    const middle = (keyTokens - 1) / 2
    const first = (align === 'bottom-right' ? keyTokens - queryTokens : 0) - middle
    const query = Array.from({ length: queryTokens }, (_, i) => [-(first + i), 1]).flat()
    const key = Array.from({ length: keyTokens }, (_, j) => [1, j - middle]).flat()
    const { dtype } = perHead
    return {
      query: mul(device.tensor(query, [1, queryTokens, 1, 2], { dtype }), reshape(perHead, [1, 1, -1, 1])),
      key: device.tensor(key, [1, keyTokens, 1, 2], { dtype }),
    }
  }, op)
}

function slopesTensor(op: string, device: Device, slopes: AlibiOptions['slopes']): Tensor {
  if (slopes instanceof Tensor) {
    if (slopes.rank !== 1) throw new RangeError(`${op}: slopes has shape ${shown(slopes.shape)} (expected [H])`)
    reportNonFinite(op, 'slopes', slopes)
    return slopes
  }
  if (!Array.isArray(slopes) || slopes.length === 0 || !slopes.every(Number.isFinite)) {
    throw new RangeError(`${op}: slopes is ${slopes} (expected one finite number per head, as of alibiSlopes(heads))`)
  }
  return device.tensor(slopes, [slopes.length])
}
