// Probability paths from noise (t = 0) to data (t = 1): x_t = α(t)·x1 + σ(t)·x0 (Lipman et al., "Flow Matching for Generative
// Modeling", arXiv:2210.02747; Albergo & Vanden-Eijnden, arXiv:2209.15571).

import type { Tensor } from '@ditkit/core'
import { blend } from './per-sample'

export interface Path {
  /** Recorded with checkpoints. */
  readonly name: string
  /** Weight of the data: α(0) ≈ 0, α(1) = 1. */
  alpha(t: number): number
  /** Weight of the noise: σ(0) = 1 (or nearly), σ(1) = 0. */
  sigma(t: number): number
  /** dα/dt */
  alphaSlope(t: number): number
  /** dσ/dt */
  sigmaSlope(t: number): number
}

/** x_t = t·x1 + (1 − t)·x0: the straight, conditional optimal-transport path; rectified flow. */
export const linearPath: Path = {
  name: 'linear',
  alpha: t => t,
  sigma: t => 1 - t,
  alphaSlope: () => 1,
  sigmaSlope: () => -1,
}

/** x_t = sin(πt/2)·x1 + cos(πt/2)·x0: keeps the variance of unit data (Albergo & Vanden-Eijnden). */
export const cosinePath: Path = {
  name: 'cosine',
  alpha: t => Math.sin((Math.PI / 2) * t),
  // cos(π/2) is 6e-17 in floating point; the noise is to be gone at t = 1.
  sigma: t => (t === 1 ? 0 : Math.cos((Math.PI / 2) * t)),
  alphaSlope: t => (Math.PI / 2) * Math.cos((Math.PI / 2) * t),
  sigmaSlope: t => (-Math.PI / 2) * Math.sin((Math.PI / 2) * t),
}

/**
 * The variance-preserving diffusion path (Song et al., arXiv:2011.13456) run from noise to data: α = exp(−B(1−t)/2), σ² = 1 − α²,
 * B(s) = s·betaMin + s²·(betaMax − betaMin)/2.
 */
export function vpPath({ betaMin = 0.1, betaMax = 20 } = {}): Path {
  const integral = (s: number) => s * betaMin + (s * s * (betaMax - betaMin)) / 2
  const rate = (s: number) => betaMin + s * (betaMax - betaMin)
  const alpha = (t: number) => Math.exp(-integral(1 - t) / 2)
  const alphaSlope = (t: number) => (alpha(t) * rate(1 - t)) / 2
  // −expm1 keeps the digits of 1 − α² near the data.
  const sigma = (t: number) => Math.sqrt(-Math.expm1(-integral(1 - t)))
  return {
    name: betaMin === 0.1 && betaMax === 20 ? 'vp' : `vp(${betaMin}, ${betaMax})`,
    alpha,
    sigma,
    alphaSlope,
    sigmaSlope: t => (-alpha(t) * alphaSlope(t)) / sigma(t),
  }
}

/** The path of a name: 'linear', 'cosine' or 'vp'. */
export function pathByName(name: string): Path {
  const path = [linearPath, cosinePath, vpPath()].find(candidate => candidate.name === name)
  if (!path) throw new RangeError(`path '${name}' is unknown (expected 'linear', 'cosine' or 'vp')`)
  return path
}

/** Samples of the path: x0 noise, x1 data, both [B, …]; t one number, or B of them. Returns x_t. */
export function interpolate(path: Path, x0: Tensor, x1: Tensor, t: number | ArrayLike<number>): Tensor {
  return blend('interpolate', t, [x1, path.alpha], [x0, path.sigma])
}

/** The target velocity dx_t/dt = α'(t)·x1 + σ'(t)·x0. */
export function targetVelocity(path: Path, x0: Tensor, x1: Tensor, t: number | ArrayLike<number>): Tensor {
  return blend('targetVelocity', t, [x1, path.alphaSlope], [x0, path.sigmaSlope])
}
