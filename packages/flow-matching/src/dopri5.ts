// Dormand & Prince 5(4) with step control (Hairer, Nørsett & Wanner, "Solving Ordinary Differential Equations I", II.4).

import {
  abs,
  add,
  detach,
  div,
  maximum,
  mul,
  noGrad,
  scope,
  scopeAsync,
  sqrt,
  square,
  sum,
  type Tensor,
} from '@ditkit/core'
import { weightedSum } from './combine'
import type { Solution, SolverOptions } from './solver'
import { advance, checkedSlope, type Derivative, stagesOf } from './stages'
import { DOPRI5 } from './tableau'

/** Root mean square over the whole state of error/(atol + rtol·max(|x|, |next|)). */
function errorNorm(
  errors: readonly Tensor[],
  state: readonly Tensor[],
  next: readonly Tensor[],
  rtol: number,
  atol: number,
): Tensor {
  const size = state.reduce((n, x) => n + x.size, 0)
  const squares = errors.map((error, n) =>
    sum(square(div(error, add(mul(maximum(abs(state[n]), abs(next[n])), rtol), atol)))),
  )
  return sqrt(
    mul(
      squares.reduce((a, b) => add(a, b)),
      1 / size,
    ),
  )
}

/** A first step from the sizes of state and slope (Hairer, Nørsett & Wanner, II.4, simplified). */
async function firstStep(
  state: readonly Tensor[],
  slope: readonly Tensor[],
  rtol: number,
  atol: number,
  span: number,
): Promise<number> {
  const [size, speed] = await scopeAsync(s => {
    const norms = s.run(() => noGrad(() => [state, slope].map(list => errorNorm(list, state, state, rtol, atol))))
    return Promise.all(norms.map(norm => norm.item()))
  })
  const guess = size < 1e-5 || speed < 1e-5 ? 1e-6 : (0.01 * size) / speed
  return Math.min(Math.abs(span), guess)
}

/** `integrate` with steps chosen by the tolerances. */
export async function dopri5(
  derivative: Derivative,
  initial: readonly Tensor[],
  options: SolverOptions,
): Promise<Solution> {
  const { rtol = 1e-5, atol = 1e-5, maxEvaluations = 10_000, onStep } = options
  const times = options.times ?? [options.from ?? 0, options.to ?? 1]
  const [from, to] = [times[0], times[times.length - 1]]
  const direction = Math.sign(to - from)
  let evaluations = 1
  let steps = 0
  let t = from
  return scopeAsync(async s => {
    let state = s.run(() => initial.map(detach))
    // Handles of the solver's own: the derivative may have returned tensors that are its caller's.
    let slope = s.run(() => scope(() => noGrad(() => checkedSlope(derivative(state, t), state).map(detach))))
    let h = await firstStep(state, slope, rtol, atol, to - from)
    if (Number.isNaN(h)) throw notANumber(t)
    while (direction * (to - t) > 0) {
      const remaining = Math.abs(to - t)
      const size = Math.min(h, remaining)
      if (evaluations > maxEvaluations || size < 1e-12) {
        throw new Error(
          `odeSolve: dopri5 gave up at t = ${t} after ${evaluations} evaluations (step ${size}); loosen rtol/atol, or use a fixed method`,
        )
      }
      const signed = direction * size
      const { next, last, norm } = s.run(() =>
        scope(() =>
          noGrad(() => {
            const stages = stagesOf(DOPRI5, derivative, state, t, signed, slope)
            const next = advance(DOPRI5, state, stages, signed)
            const errors = state.map((_, n) =>
              weightedSum(
                stages.map(stage => stage[n]),
                (DOPRI5.error as number[]).map(w => w * signed),
              ),
            )
            return { next, last: stages[6].map(detach), norm: errorNorm(errors, state, next, rtol, atol) }
          }),
        ),
      )
      evaluations += 6
      const error = await norm.item()
      norm.dispose()
      if (Number.isNaN(error)) throw notANumber(t)
      const taken = error <= 1
      for (const x of taken ? [...state, ...slope] : [...next, ...last]) x.dispose()
      if (taken) {
        state = next
        slope = last
        t = size === remaining ? to : t + signed
        steps++
        await onStep?.(state, t, steps)
      }
      h = size * Math.min(10, Math.max(0.2, 0.9 * Math.max(error, 1e-10) ** -0.2))
    }
    return { state, steps, evaluations }
  })
}

function notANumber(t: number): Error {
  return new Error(`odeSolve: the derivative is not a number at t = ${t}`)
}
