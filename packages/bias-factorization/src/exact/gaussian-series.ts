// The cosine series of a Gaussian kernel that is shortest for a tolerance, on the host. With period P the kernel's images, a
// period apart, add an error at the far end of the domain, and dropped frequencies add one everywhere; both are bounded by their sums.

export interface CosineSeries {
  /** Angular frequencies, one row of n per term. The first is 0, and stands for a constant. */
  readonly frequencies: readonly (readonly number[])[]
  /** kernel(d) = Σ_t coefficients[t]·cos(frequencies[t]·d) */
  readonly coefficients: readonly number[]
}

/** How much of the tolerance the images may take; the rest is for dropped frequencies. */
const IMAGE_SHARES = [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
const MOST_CANDIDATES = 2 ** 17

/** Σ over the images of the kernel at the largest difference, in units of σ. */
function imageError(period: number, extent: number): number {
  let error = 0
  for (let m = 1; m <= 4; m++) {
    error += Math.exp(-((m * period - extent) ** 2) / 2) + Math.exp(-((m * period + extent) ** 2) / 2)
  }
  return error
}

/** The smallest period whose images stay below `error`, in units of σ, by bisection. */
function periodFor(error: number, extent: number): number {
  let [low, high] = [extent, extent + Math.sqrt(2 * Math.log(16 / error)) + 1]
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    if (imageError(middle, extent) > error) low = middle
    else high = middle
  }
  return high
}

interface Term {
  readonly frequency: readonly number[]
  readonly coefficient: number
}

/** Terms of a kernel with these periods that can matter, one of each pair ±frequency: the constant, then by size. Undefined when they are too many. */
function candidates(sigmas: readonly number[], periods: readonly number[], smallest: number): Term[] | undefined {
  let terms: Term[] = [{ frequency: [], coefficient: 1 }]
  for (const [axis, sigma] of sigmas.entries()) {
    const step = (2 * Math.PI) / periods[axis]
    const peak = Math.sqrt(2 * Math.PI) / periods[axis]
    const most = Math.ceil(Math.sqrt(2 * Math.max(0, Math.log(peak / smallest))) / step)
    if (terms.length * (2 * most + 1) > MOST_CANDIDATES) return undefined
    const along = Array.from({ length: 2 * most + 1 }, (_, i) => {
      const omega = (i - most) * step
      return { omega: omega / sigma, weight: peak * Math.exp((-omega * omega) / 2) }
    })
    terms = terms.flatMap(({ frequency, coefficient }) =>
      along.map(({ omega, weight }) => ({ frequency: [...frequency, omega], coefficient: coefficient * weight })),
    )
  }
  const rising = terms.filter(({ frequency }) => (frequency.find(omega => omega !== 0) ?? 0) > 0)
  const constant = terms.filter(({ frequency }) => frequency.every(omega => omega === 0))
  const folded = rising.map(({ frequency, coefficient }) => ({ frequency, coefficient: 2 * coefficient }))
  return [...constant, ...folded.sort((a, b) => b.coefficient - a.coefficient)]
}

/**
 * exp(−Σ_a d_a²/(2σ_a²)) for |d_a| ≤ extent_a to within `tolerance`. Undefined when that takes more than 100,000 terms.
 */
export function gaussianSeries(
  sigmas: readonly number[],
  extents: readonly number[],
  tolerance: number,
): CosineSeries | undefined {
  let best: Term[] | undefined
  for (const share of IMAGE_SHARES) {
    const perAxis = (1 + share * tolerance) ** (1 / sigmas.length) - 1
    const periods = sigmas.map((sigma, axis) => periodFor(perAxis, extents[axis] / sigma))
    const terms = candidates(sigmas, periods, tolerance / 1e4)
    if (!terms) continue
    // All coefficients, those beyond the candidates too, add up to the periodic kernel at 0.
    const total = periods.reduce((product, period) => product * (1 + imageError(period, 0)), 1)
    let dropped = total
    let count = 0
    while (dropped > (1 - share) * tolerance && count < terms.length) dropped -= terms[count++].coefficient
    if (dropped <= (1 - share) * tolerance && (!best || count < best.length)) best = terms.slice(0, count)
  }
  return (
    best && { frequencies: best.map(({ frequency }) => frequency), coefficients: best.map(term => term.coefficient) }
  )
}
