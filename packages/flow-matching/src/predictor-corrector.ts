// Predictor–corrector sampling (Song et al., "Score-Based Generative Modeling through SDEs", arXiv:2011.13456): the ODE solver predicts,
// Langevin steps at the same time correct.

import { add, detach, mul, noGrad, normal, type RngKey, scope, type Tensor } from '@ditkit/core'
import { convertPrediction } from './convert'
import { linearPath, type Path } from './path'
import { odeSolve, type SolverMethod } from './solver'

export interface PredictorCorrectorOptions {
  /** Draws the corrector's noise; the samples are a function of it and of x0. */
  key: RngKey
  /** Langevin steps before each step of the solver; default 1. Each is one more evaluation of the velocity. */
  corrections?: number
  /** Size of a Langevin step, 0 to 1; default 0.16. */
  snr?: number
  /** What the velocity was trained on; default `linearPath`. */
  path?: Path
  /** Of the solver; default 'euler'. dopri5 keeps its tolerances within each step. */
  method?: SolverMethod
  /** Equal steps from t = 0 to 1; default 25. */
  steps?: number
  /** After every step; x is the sampler's, valid during the call. */
  onStep?: (x: Tensor, t: number, step: number) => void | Promise<void>
}

/**
 * Carries noise x0 [B, …] to data by `velocity(x, t)`, correcting before each step of the solver: x ← x + δ·s(x) + √(2δ)·z, z ~ N(0, 1),
 * where the score of p_t is s = −ε̂/σ_t, ε̂ being the noise that the velocity implies at x_t = α·x1 + σ·x0 (on the linear path
 * ε̂ = x_t − t·v), and δ = 2·(snr·σ_t)². Song et al. (algorithms 4 and 5) have δ = 2·(snr·‖z‖/‖s‖)² with norms averaged over the batch: σ_t is what
 * that ratio is where s is the score of the noise, and makes a sample independent of those beside it. x0 is not consumed.
 * @throws RangeError when a count or snr makes no sense.
 */
export async function predictorCorrectorSample(
  velocity: (x: Tensor, t: number) => Tensor,
  x0: Tensor,
  options: PredictorCorrectorOptions,
): Promise<Tensor> {
  const { key, corrections = 1, snr = 0.16, path = linearPath, method = 'euler', steps = 25, onStep } = options
  if (!Number.isInteger(steps) || steps < 1)
    throw new RangeError(`predictorCorrectorSample: steps is ${steps} (expected a whole number ≥ 1)`)
  if (!Number.isInteger(corrections) || corrections < 0)
    throw new RangeError(`predictorCorrectorSample: corrections is ${corrections} (expected a whole number ≥ 0)`)
  if (!(snr > 0 && snr < 1)) throw new RangeError(`predictorCorrectorSample: snr is ${snr} (expected between 0 and 1)`)
  let x = detach(x0)
  const advance = (next: Tensor) => {
    x.dispose()
    x = next
  }
  try {
    for (let step = 1; step <= steps; step++) {
      const [t, next] = [(step - 1) / steps, step / steps]
      for (let i = 0; i < corrections; i++) {
        const noiseKey = key.foldIn(step).foldIn(i)
        advance(scope(() => noGrad(() => langevinStep(velocity, x, t, path, snr, noiseKey))))
      }
      advance(await odeSolve(velocity, x, { method, times: [t, next] }))
      await onStep?.(x, next, step)
    }
    return x
  } catch (error) {
    x.dispose()
    throw error
  }
}

function langevinStep(
  velocity: (x: Tensor, t: number) => Tensor,
  x: Tensor,
  t: number,
  path: Path,
  snr: number,
  key: RngKey,
): Tensor {
  const sigma = path.sigma(t)
  const size = 2 * (snr * sigma) ** 2
  const epsilon = convertPrediction(path, 'velocity', 'noise', velocity(x, t), x, t)
  const noise = normal(x.device, x.shape, key, { dtype: x.dtype })
  return add(x, add(mul(epsilon, -size / sigma), mul(noise, Math.sqrt(2 * size))))
}
