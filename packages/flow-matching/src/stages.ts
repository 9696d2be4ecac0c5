// The stages of a Runge–Kutta step, and the step they make.

import type { Tensor } from '@ditkit/core'
import { weightedSum } from './combine'
import type { Tableau } from './tableau'

/** Derivatives of the state tensors at time t; new tensors, shapes as the state's. */
export type Derivative = (state: readonly Tensor[], t: number) => readonly Tensor[]

/** Stages of one step from `state` at t over h; `first` is stage 0 where it is known. */
export function stagesOf(
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
      stages.push(checkedSlope(derivative(at, t + node * h), state))
    }
  })
  return stages
}

/** A slope that would broadcast against the state is a mistake of the model's. */
export function checkedSlope(slope: readonly Tensor[], state: readonly Tensor[]): readonly Tensor[] {
  state.forEach((x, n) => {
    if (slope[n]?.shape.join() !== x.shape.join()) {
      throw new RangeError(
        `odeSolve: the derivative of a state of shape [${x.shape.join(', ')}] is ${slope[n] ? `of shape [${slope[n].shape.join(', ')}]` : 'missing'} (expected the same shape)`,
      )
    }
  })
  return slope
}

/** The state after a step, from its stages. */
export function advance(
  tableau: Tableau,
  state: readonly Tensor[],
  stages: readonly (readonly Tensor[])[],
  h: number,
): Tensor[] {
  return state.map((x, n) => weightedSum([x, ...stages.map(s => s[n])], [1, ...tableau.weights.map(w => w * h)]))
}
