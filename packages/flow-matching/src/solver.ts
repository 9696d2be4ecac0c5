// ODE solvers over tensors on a device: fixed steps, and Dormand–Prince with step control. The state may be several tensors (the
// likelihood carries its integral along).

import { abs, add, div, keep, maximum, mul, noGrad, scope, sqrt, square, sum, type Tensor } from '@ditkit/core'
import { weightedSum } from './combine'
import { DOPRI5, EULER, HEUN, MIDPOINT, RK4, RK4_38, type Tableau } from './tableau'

export type FixedMethod = 'euler' | 'midpoint' | 'heun' | 'rk4' | 'rk4-3/8'
export type SolverMethod = FixedMethod | 'dopri5'

const FIXED: Record<FixedMethod, Tableau> = {
  euler: EULER,
  midpoint: MIDPOINT,
  heun: HEUN,
  rk4: RK4,
  'rk4-3/8': RK4_38,
}

/** Derivatives of the state tensors at time t; new tensors, shapes as the state's. */
export type Derivative = (state: readonly Tensor[], t: number) => readonly Tensor[]

export interface SolverOptions {
  /** Default 'euler'. 'dopri5' chooses its steps by the tolerances. */
  method?: SolverMethod
  /** Equal steps of a fixed method; default 25. */
  steps?: number
  /** Or the times to step between, first and last included (ascending or descending). */
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

/** Stages of one step from `state` at t over h; `first` is stage 0 where it is known. */
function stagesOf(
  tableau: Tableau,
  derivative: Derivative,
  state: readonly Tensor[],
  t: number,
  h: number,
  first?: readonly Tensor[],
) {
  const stages: (readonly Tensor[])[] = []
  tableau.nodes.forEach((node, i) => {
    if (i === 0 && first) stages.push(first)
    else {
      const weights = tableau.stages[i].map(w => w * h)
      const at = i === 0 ? state : state.map((x, n) => weightedSum([x, ...stages.map(s => s[n])], [1, ...weights]))
      stages.push(derivative(at, t + node * h))
    }
  })
  return stages
}

function advance(
  tableau: Tableau,
  state: readonly Tensor[],
  stages: readonly (readonly Tensor[])[],
  h: number,
): Tensor[] {
  return state.map((x, n) => weightedSum([x, ...stages.map(s => s[n])], [1, ...tableau.weights.map(w => w * h)]))
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
  if (method === 'dopri5') return adaptive(derivative, initial, options)
  const tableau = FIXED[method]
  if (!tableau)
    throw new RangeError(
      `odeSolve: method '${method}' is unknown (expected ${[...Object.keys(FIXED), 'dopri5'].join(', ')})`,
    )
  const times = checkTimes(options)
  const { device } = initial[0]
  let state = [...initial]
  for (let step = 1; step < times.length; step++) {
    const [t, h] = [times[step - 1], times[step] - times[step - 1]]
    const next = scope(() =>
      noGrad(() => advance(tableau, state, stagesOf(tableau, derivative, state, t, h), h).map(keep)),
    )
    if (step > 1) for (const x of state) x.dispose()
    state = next
    await options.onStep?.(state, times[step], step)
    await device.ready()
  }
  return { state, steps: times.length - 1, evaluations: (times.length - 1) * tableau.nodes.length }
}

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
  const norms = scope(() => noGrad(() => [state, slope].map(list => keep(errorNorm(list, state, state, rtol, atol)))))
  const [size, speed] = await Promise.all(norms.map(norm => norm.item()))
  for (const norm of norms) norm.dispose()
  const guess = size < 1e-5 || speed < 1e-5 ? 1e-6 : (0.01 * size) / speed
  return Math.min(Math.abs(span), guess)
}

async function adaptive(derivative: Derivative, initial: readonly Tensor[], options: SolverOptions): Promise<Solution> {
  const { rtol = 1e-5, atol = 1e-5, maxEvaluations = 10_000, onStep } = options
  const times = options.times ?? [options.from ?? 0, options.to ?? 1]
  const [from, to] = [times[0], times[times.length - 1]]
  const direction = Math.sign(to - from)
  let evaluations = 1
  let steps = 0
  let t = from
  let state = [...initial]
  let slope = scope(() => noGrad(() => derivative(state, t).map(keep)))
  const release = (list: readonly Tensor[]) => {
    for (const x of list) if (!initial.includes(x)) x.dispose()
  }
  let h = await firstStep(state, slope, rtol, atol, to - from)
  if (Number.isNaN(h)) {
    release(slope)
    throw new Error(`odeSolve: the derivative is not a number at t = ${t}`)
  }
  while (direction * (to - t) > 0) {
    const remaining = Math.abs(to - t)
    const size = Math.min(h, remaining)
    if (evaluations > maxEvaluations || size < 1e-12) {
      release(state)
      release(slope)
      throw new Error(
        `odeSolve: dopri5 gave up at t = ${t} after ${evaluations} evaluations (step ${size}); loosen rtol/atol, or use a fixed method`,
      )
    }
    const signed = direction * size
    const { next, last, norm } = scope(() =>
      noGrad(() => {
        const stages = stagesOf(DOPRI5, derivative, state, t, signed, slope)
        const next = advance(DOPRI5, state, stages, signed).map(keep)
        const errors = state.map((_, n) =>
          weightedSum(
            stages.map(s => s[n]),
            (DOPRI5.error as number[]).map(w => w * signed),
          ),
        )
        return { next, last: stages[6].map(keep), norm: keep(errorNorm(errors, state, next, rtol, atol)) }
      }),
    )
    evaluations += 6
    const error = await norm.item()
    norm.dispose()
    if (Number.isNaN(error)) {
      for (const list of [state, slope, next, last]) release(list)
      throw new Error(`odeSolve: the derivative is not a number at t = ${t}`)
    }
    if (error <= 1) {
      release(state)
      release(slope)
      state = next
      slope = last
      t = size === remaining ? to : t + signed
      steps++
      await onStep?.(state, t, steps)
    } else {
      release(next)
      release(last)
    }
    h = size * Math.min(10, Math.max(0.2, 0.9 * Math.max(error, 1e-10) ** -0.2))
  }
  release(slope)
  return { state, steps, evaluations }
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
