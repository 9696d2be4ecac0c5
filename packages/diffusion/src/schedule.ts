// Noise schedules and everything that follows from their betas, in float64 on the host. Ho et al., "Denoising Diffusion Probabilistic
// Models", arXiv:2006.11239; Nichol & Dhariwal, "Improved DDPM", arXiv:2102.09672.

/**
 * - `linear`: betas from 1e-4 to 0.02, both times 1000/T, as facebookresearch/DiT rescales them (at most 0.999).
 * - `linear-raw`: 1e-4 to 0.02 whatever T is.
 * - `cosine`: ᾱ(t) = cos²((t + 0.008)/1.008·π/2), betas at most 0.999 (Nichol & Dhariwal).
 * - `sigmoid`: ᾱ falls as a sigmoid from −3 to 3 (Jabri et al., arXiv:2212.11972).
 */
export type ScheduleKind = 'linear' | 'linear-raw' | 'cosine' | 'sigmoid'

export interface ScheduleOptions {
  /** Default 'linear'. */
  kind?: ScheduleKind
  /** T; default 1000. */
  steps?: number
}

/** A discrete diffusion process. Arrays are indexed by step, 0 (least noise) … T − 1. */
export interface DiffusionSchedule {
  readonly kind: ScheduleKind
  /** T of this process; after respacing, fewer than were trained. */
  readonly steps: number
  /** What the model is told at each step: the step of the process it was trained on. */
  readonly timesteps: Int32Array
  readonly betas: Float64Array
  /** ᾱ_t = Π (1 − β) */
  readonly alphasCumprod: Float64Array
  readonly alphasCumprodPrev: Float64Array
  /** β̃_t, the variance of q(x_{t−1} | x_t, x_0). */
  readonly posteriorVariance: Float64Array
  /** log β̃_t with β̃_0 (which is 0) replaced by β̃_1. */
  readonly posteriorLogVariance: Float64Array
}

const MAX_BETA = 0.999

function betasFrom(alphaBar: (t: number) => number, steps: number): Float64Array {
  return Float64Array.from({ length: steps }, (_, i) =>
    Math.min(1 - alphaBar((i + 1) / steps) / alphaBar(i / steps), MAX_BETA),
  )
}

function betasOf(kind: ScheduleKind, steps: number): Float64Array {
  const between = (first: number, last: number) =>
    Float64Array.from({ length: steps }, (_, i) =>
      Math.min(steps === 1 ? first : first + ((last - first) * i) / (steps - 1), MAX_BETA),
    )
  switch (kind) {
    case 'linear':
      return between(0.1 / steps, 20 / steps)
    case 'linear-raw':
      return between(1e-4, 0.02)
    case 'cosine':
      return betasFrom(t => Math.cos(((t + 0.008) / 1.008) * (Math.PI / 2)) ** 2, steps)
    case 'sigmoid': {
      const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
      return betasFrom(t => (sigmoid(3) - sigmoid(6 * t - 3)) / (sigmoid(3) - sigmoid(-3)), steps)
    }
    default:
      throw new RangeError(
        `diffusionSchedule: kind '${kind}' is unknown (expected 'linear', 'linear-raw', 'cosine' or 'sigmoid')`,
      )
  }
}

function fromBetas(kind: ScheduleKind, betas: Float64Array, timesteps: Int32Array): DiffusionSchedule {
  let product = 1
  const alphasCumprod = betas.map(beta => {
    product *= 1 - beta
    return product
  })
  const alphasCumprodPrev = alphasCumprod.map((_, t) => (t === 0 ? 1 : alphasCumprod[t - 1]))
  const posteriorVariance = betas.map((beta, t) => (beta * (1 - alphasCumprodPrev[t])) / (1 - alphasCumprod[t]))
  const posteriorLogVariance = posteriorVariance.map((v, t) =>
    Math.log(t === 0 ? (posteriorVariance[1] ?? betas[0]) : v),
  )
  return {
    kind,
    steps: betas.length,
    timesteps,
    betas,
    alphasCumprod,
    alphasCumprodPrev,
    posteriorVariance,
    posteriorLogVariance,
  }
}

/** The process of a named schedule with T steps. */
export function diffusionSchedule(options: ScheduleOptions = {}): DiffusionSchedule {
  const { kind = 'linear', steps = 1000 } = options
  if (!Number.isInteger(steps) || steps < 1)
    throw new RangeError(`diffusionSchedule: steps is ${steps} (expected a whole number ≥ 1)`)
  return fromBetas(
    kind,
    betasOf(kind, steps),
    Int32Array.from({ length: steps }, (_, t) => t),
  )
}

/**
 * The same process observed at `count` of its steps: `count` spread evenly with both ends (as facebookresearch/DiT does), or with
 * 'uniform' at a constant whole stride from 0 (as DDIM does). The model still sees the original timesteps.
 */
export function respace(
  schedule: DiffusionSchedule,
  count: number,
  spacing: 'ends' | 'uniform' = 'ends',
): DiffusionSchedule {
  const { steps } = schedule
  if (!Number.isInteger(count) || count < 1 || count > steps) {
    throw new RangeError(`respace: count is ${count} (expected a whole number from 1 to the schedule's ${steps})`)
  }
  const chosen =
    spacing === 'uniform'
      ? Array.from({ length: count }, (_, i) => i * Math.floor(steps / count))
      : Array.from({ length: count }, (_, i) => roundHalfToEven(count === 1 ? 0 : (i * (steps - 1)) / (count - 1)))
  let previous = 1
  const betas = Float64Array.from(chosen, t => {
    const beta = 1 - schedule.alphasCumprod[t] / previous
    previous = schedule.alphasCumprod[t]
    return beta
  })
  return fromBetas(
    schedule.kind,
    betas,
    Int32Array.from(chosen, t => schedule.timesteps[t]),
  )
}

/** Python's rounding, so that the same steps are chosen. */
function roundHalfToEven(x: number): number {
  const low = Math.floor(x)
  if (x - low !== 0.5) return Math.round(x)
  return low % 2 === 0 ? low : low + 1
}
