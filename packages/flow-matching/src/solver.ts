// ODE solvers over tensors on a device: fixed steps here, Dormand–Prince with step control in dopri5.ts. The state may be several
// tensors (the likelihood carries its integral along).

import { detach, noGrad, scope, scopeAsync, type Tensor } from '@ditkit/core'
import { dopri5 } from './dopri5'
import { advance, type Derivative, stagesOf } from './stages'
import { EULER, HEUN, MIDPOINT, RK4, RK4_38, type Tableau } from './tableau'

export type FixedMethod = 'euler' | 'midpoint' | 'heun' | 'rk4' | 'rk4-3/8'
export type SolverMethod = FixedMethod | 'dopri5'

const FIXED: Record<FixedMethod, Tableau> = {
  euler: EULER,
  midpoint: MIDPOINT,
  heun: HEUN,
  rk4: RK4,
  'rk4-3/8': RK4_38,
}

export interface SolverOptions {
  /** Default 'euler'. 'dopri5' chooses its steps by the tolerances. */
  method?: SolverMethod
  /** Equal steps of a fixed method; default 25. */
  steps?: number
  /** Or the times to step between, first and last included (ascending or descending). dopri5 takes the first and the last. */
  times?: readonly number[]
  /** Default from 0 (noise) to 1 (data). */
  from?: number
  to?: number
  /** dopri5: error allowed per step, relative and absolute; default 1e-5 each. */
  rtol?: number
  atol?: number
  /** dopri5: evaluations of the derivative before it gives up; default 10,000. */
  maxEvaluations?: number
  /** After every step that was taken; the tensors are the solver's, valid during the call (keep a copy, or await `data()` of it). */
  onStep?: (state: readonly Tensor[], t: number, step: number) => void | Promise<void>
}

export interface Solution {
  readonly state: Tensor[]
  readonly steps: number
  readonly evaluations: number
}

function checkTimes(options: SolverOptions): number[] {
  const { from = 0, to = 1, steps = 25, times } = options
  if (times) {
    const rising = times[times.length - 1] > times[0]
    if (times.length < 2 || times.some((t, i) => i > 0 && (rising ? t <= times[i - 1] : t >= times[i - 1]))) {
      throw new RangeError(`odeSolve: times [${times.join(', ')}] must be at least two, strictly rising or falling`)
    }
    return [...times]
  }
  if (!Number.isInteger(steps) || steps < 1)
    throw new RangeError(`odeSolve: steps is ${steps} (expected a whole number ≥ 1)`)
  return Array.from({ length: steps + 1 }, (_, i) => from + ((to - from) * i) / steps)
}

/** Integrates a state of several tensors. Nothing is recorded; the initial state is not consumed. */
export async function integrate(
  derivative: Derivative,
  initial: readonly Tensor[],
  options: SolverOptions = {},
): Promise<Solution> {
  const { method = 'euler' } = options
  if (method === 'dopri5') return dopri5(derivative, initial, options)
  const tableau = FIXED[method]
  if (!tableau)
    throw new RangeError(
      `odeSolve: method '${method}' is unknown (expected ${[...Object.keys(FIXED), 'dopri5'].join(', ')})`,
    )
  const times = checkTimes(options)
  const { device } = initial[0]
  return scopeAsync(async s => {
    let state = s.run(() => initial.map(detach))
    for (let step = 1; step < times.length; step++) {
      const [t, h] = [times[step - 1], times[step] - times[step - 1]]
      const next = s.run(() =>
        scope(() => noGrad(() => advance(tableau, state, stagesOf(tableau, derivative, state, t, h), h))),
      )
      for (const x of state) x.dispose()
      state = next
      await options.onStep?.(state, times[step], step)
      await device.ready()
    }
    return { state, steps: times.length - 1, evaluations: (times.length - 1) * tableau.nodes.length }
  })
}

/**
 * Carries x0 [B, …] along `velocity` from t = 0 to 1 (or between `from` and `to`), without recording. `velocity(x, t)` returns a tensor
 * of x's shape.
 */
export async function odeSolve(
  velocity: (x: Tensor, t: number) => Tensor,
  x0: Tensor,
  options: Omit<SolverOptions, 'onStep'> & {
    onStep?: (x: Tensor, t: number, step: number) => void | Promise<void>
  } = {},
): Promise<Tensor> {
  const { onStep, ...rest } = options
  const { state } = await integrate(([x], t) => [velocity(x, t)], [x0], {
    ...rest,
    onStep: onStep && (([x], t, step) => onStep(x, t, step)),
  })
  return state[0]
}
