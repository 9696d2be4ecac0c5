// Stochastic gradient descent with momentum, by PyTorch's formulas.

import { add, assign, isFinite, mul, noGrad, scope, sub, type Tensor, where } from '@ditkit/core'
import { globalNorm } from './clip-grad-norm'
import { type OptimizerState, StateTensors } from './optimizer-state'
import {
  type ParameterGroup,
  type ParameterSource,
  type TrainedParameter,
  trainedParameters,
  zeroGrad,
} from './parameter-groups'
import type { StateSource } from './state'

export interface SGDOptions {
  lr?: number
  momentum?: number
  nesterov?: boolean
  /** Added to the gradient, not decoupled. */
  weightDecay?: number
  groups?: readonly ParameterGroup[]
}

export class SGD {
  /** Steps enqueued so far. */
  stepCount = 0
  private readonly parameters: TrainedParameter[]
  private readonly state: StateTensors<'momentum_buffer'>
  private readonly lr: number
  private readonly momentum: number
  private readonly nesterov: boolean

  /** @throws RangeError for a negative setting, or nesterov without momentum. */
  constructor(source: ParameterSource, options: SGDOptions = {}) {
    const { lr = 1e-3, momentum = 0, nesterov = false, weightDecay = 0, groups } = options
    for (const [name, value] of Object.entries({ lr, momentum, weightDecay }))
      if (!(value >= 0)) throw new RangeError(`SGD: ${name} must be 0 or more, got ${value}`)
    if (nesterov && !(momentum > 0)) throw new RangeError(`SGD: nesterov needs momentum above 0, got ${momentum}`)
    this.lr = lr
    this.momentum = momentum
    this.nesterov = nesterov
    this.parameters = trainedParameters(source, weightDecay, groups)
    this.state = new StateTensors(this.parameters, momentum > 0 ? ['momentum_buffer'] : [])
  }

  /** One step for all weights that have a gradient. When their global norm is not finite, the device changes nothing. */
  step(options: { lr?: number } = {}): void {
    const lr = options.lr ?? this.lr
    const active = this.parameters.filter(({ tensor }) => tensor.grad)
    scope(() =>
      noGrad(() => {
        const finite = isFinite(globalNorm(active.map(({ tensor }) => tensor.grad!)))
        for (const parameter of active) this.update(parameter, finite, lr * parameter.lrScale)
      }),
    )
    this.stepCount++
  }

  zeroGrad(): void {
    zeroGrad(this.parameters.map(({ tensor }) => tensor))
  }

  async stateDict(): Promise<OptimizerState> {
    const step = this.stepCount
    return { step, tensors: await this.state.read() }
  }

  async loadStateDict(state: OptimizerState<StateSource>): Promise<void> {
    await this.state.load(state.tensors)
    this.stepCount = state.step
  }

  dispose(): void {
    this.state.dispose()
  }

  private update({ name, tensor, weightDecay }: TrainedParameter, finite: Tensor, lr: number): void {
    scope(() => {
      const gradient = weightDecay === 0 ? tensor.grad! : add(tensor.grad!, mul(tensor, weightDecay))
      let direction = gradient
      if (this.momentum > 0) {
        // PyTorch starts the buffer at the first gradient: the same as starting it at zero without dampening.
        const buffer = this.state.get('momentum_buffer', name)
        const moved = add(mul(buffer, this.momentum), gradient)
        direction = this.nesterov ? add(gradient, mul(moved, this.momentum)) : moved
        assign(buffer, where(finite, moved, buffer))
      }
      assign(tensor, where(finite, sub(tensor, mul(direction, lr)), tensor))
    })
  }
}
