// What a model predicts, by name, and the exact conversions between them at a point x_t of a path.

import type { Tensor } from '@ditkit/core'
import type { Path } from './path'
import { blend } from './per-sample'

/** The velocity dx_t/dt, the noise x0 (ε), or the data x1. */
export type PredictionKind = 'velocity' | 'noise' | 'data'

/**
 * Weights (of the prediction, of x_t) that give `to` from `from` at time t. With x_t = αx1 + σx0 and v = α'x1 + σ'x0 any two of the four
 * determine the others.
 */
function weights(path: Path, from: PredictionKind, to: PredictionKind, t: number): [number, number] {
  if (from === to) return [1, 0]
  const [a, s, da, ds] = [path.alpha(t), path.sigma(t), path.alphaSlope(t), path.sigmaSlope(t)]
  const determinant = da * s - ds * a
  switch (`${from} ${to}`) {
    case 'velocity data':
      return [s / determinant, -ds / determinant]
    case 'velocity noise':
      return [-a / determinant, da / determinant]
    case 'data velocity':
      return [determinant / s, ds / s]
    case 'data noise':
      return [-a / s, 1 / s]
    case 'noise velocity':
      return [-determinant / a, da / a]
    default:
      return [-s / a, 1 / a]
  }
}

/**
 * `prediction` of kind `from` as kind `to`; xt and prediction [B, …], t one number or B of them. Throws where the path does not
 * determine the answer: data says nothing about noise at t = 1, noise nothing about data at t = 0.
 */
export function convertPrediction(
  path: Path,
  from: PredictionKind,
  to: PredictionKind,
  prediction: Tensor,
  xt: Tensor,
  t: number | ArrayLike<number>,
): Tensor {
  if (from === to) return prediction
  const at = (time: number) => weights(path, from, to, time)
  return blend('convertPrediction', t, [prediction, time => at(time)[0]], [xt, time => at(time)[1]])
}
