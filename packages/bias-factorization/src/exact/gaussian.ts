// Gaussian kernels of distance as factors: the kernel made periodic is a short cosine series (Poisson summation), and the cosine
// of a difference is cos·cos + sin·sin.

import {
  concat,
  cos,
  lessEqual,
  matmul,
  max,
  min,
  mul,
  noGrad,
  reshape,
  scope,
  sin,
  sub,
  type Tensor,
  where,
} from '@ditkit/core'
import type { FactoredBias } from '../factors'
import { type BiasScale, scaled } from './combine'
import { type CosineSeries, gaussianSeries } from './gaussian-series'
import { type CentredPoints, centredPoints, type TokenMasks } from './points'

export interface GaussianOptions extends TokenMasks {
  /** Standard deviation: the kernel is exp(−‖x − y‖²/(2σ²)). One number, or one per axis. */
  readonly sigma: number | readonly number[]
  /** The largest |x − y| along an axis. One number, or one per axis; pairs farther apart are reported at the next read. */
  readonly extent: number | readonly number[]
  /** The largest error of an entry, of a kernel that is 1 at its top; default 1e-3. (f32 itself adds about 1e-6.) */
  readonly tolerance?: number
  /** The highest rank to accept; default 256. */
  readonly maxRank?: number
  /** The kernel's height, default 1: a number, or a tensor [H] or [B|1, Lq, H|1] that may be learned. */
  readonly scale?: BiasScale
}

/**
 * scale·exp(−‖query_i − key_j‖²/(2σ²)) to within scale·tolerance, for points query [B|1, Lq, n] and key [B|1, Lk, n]: factors
 * [B|1, Lq, H|1, R] and [B|1, Lk, 1, R]. R follows from tolerance and extent/σ: narrow kernels have no low rank. Gradients for points
 * and scale. Throws when it takes more than `maxRank`, naming the rank it takes.
 */
export function gaussianFactors(query: Tensor, key: Tensor, options: GaussianOptions): FactoredBias {
  const op = 'gaussianFactors'
  const { sigma, extent, tolerance = 1e-3, maxRank = 256, scale = 1, ...masks } = options
  return scope(() => {
    const points = centredPoints(op, query, key, masks)
    const dims = query.shape[2]
    const [sigmas, extents] = [perAxis(op, 'sigma', sigma, dims), perAxis(op, 'extent', extent, dims)]
    if (!(tolerance > 0 && tolerance < 1)) {
      throw new RangeError(
        `${op}: tolerance is ${tolerance} (expected between 0 and 1, of a kernel that is 1 at its top)`,
      )
    }
    const series = gaussianSeries(sigmas, extents, tolerance)
    const rank = series ? 2 * series.coefficients.length - 1 : Number.POSITIVE_INFINITY
    if (!series || rank > maxRank) {
      throw new RangeError(
        `${op}: a kernel of sigma ${sigmas} over an extent of ${extents} takes ${series ? `rank ${rank}` : 'rank 100,000 or more'} for a ` +
          `tolerance of ${tolerance} (expected at most maxRank = ${maxRank}). Widen sigma, allow a larger tolerance or maxRank, give the bias to ` +
          'attention as a dense one, or use squaredDistanceFactors, whose window in the softmax is a Gaussian of any width at rank n + 2',
      )
    }
    reportBeyond(op, points, extents)
    const factors = { query: waves(points.query, series, 'query'), key: waves(points.key, series, 'key') }
    return scaled(op, factors, scale, points.queryMask ?? true)
  }, op)
}

/** cos and sin of x along every frequency, [B|1, L, 1, R]; the query's side carries the coefficients. */
function waves(x: Tensor, { frequencies, coefficients }: CosineSeries, side: 'query' | 'key'): Tensor {
  const { device, dtype } = x
  const [batch, tokens, dims] = x.shape
  const terms = coefficients.length
  const table = Array.from({ length: dims }, (_, axis) => frequencies.map(omega => omega[axis])).flat()
  const phases = matmul(x, device.tensor(table, [dims, terms], { dtype }))
  // The first term is the constant, whose sine is 0.
  const rising = device.tensor(
    table.filter((_, i) => i % terms > 0),
    [dims, terms - 1],
    { dtype },
  )
  const columns = terms > 1 ? concat([cos(phases), sin(matmul(x, rising))], 2) : cos(phases)
  const weights = device.tensor([...coefficients, ...coefficients.slice(1)], [2 * terms - 1], { dtype })
  return reshape(side === 'query' ? mul(columns, weights) : columns, [batch, tokens, 1, 2 * terms - 1])
}

function perAxis(op: string, name: string, value: number | readonly number[], dims: number): number[] {
  const values = typeof value === 'number' ? new Array<number>(dims).fill(value) : [...(value ?? [])]
  if (values.length !== dims || !values.every(n => Number.isFinite(n) && n > 0)) {
    throw new RangeError(`${op}: ${name} is ${value} (expected a number above 0, or ${dims} of them, one per axis)`)
  }
  return values
}

/** Beyond the extent the series repeats itself: rejects the next read when a pair is there. */
function reportBeyond(op: string, { query, key, queryMask, keyMask }: CentredPoints, extents: readonly number[]): void {
  noGrad(() => {
    const { device, dtype } = query
    const range = (x: Tensor, mask: Tensor | undefined) => {
      const outside = (value: number) => (mask ? where(mask, x, value) : x)
      return { low: min(outside(Number.MAX_VALUE), 1), high: max(outside(-Number.MAX_VALUE), 1) }
    }
    const [q, k] = [range(query, queryMask), range(key, keyMask)]
    // A rounding error of slack: an extent measured from the same points is kept.
    const limit = device.tensor(
      extents.map(n => n * (1 + 1e-5)),
      [extents.length],
      { dtype },
    )
    for (const difference of [sub(q.high, k.low), sub(k.high, q.low)]) {
      device.backend.check(
        lessEqual(difference, limit),
        { op },
        `two points lie farther apart than the extent ${extents}, where the factors are those of another distance`,
      )
    }
  })
}
