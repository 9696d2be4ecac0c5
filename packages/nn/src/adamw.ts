// AdamW (Loshchilov & Hutter 2019) by PyTorch's formulas, over all weights in one pass, with clipping by global norm and
// the EMA of the weights in the same pass.

import { type AdamWParameter, adamwStep, keep, type Tensor } from '@ditkit/core'
import type { EMA } from './ema'
import { type OptimizerState, StateTensors } from './optimizer-state'
import { type ParameterGroup, type ParameterSource, trainedParameters, zeroGrad } from './parameter-groups'
import type { StateSource } from './state'

export interface AdamWOptions {
  lr?: number
  betas?: readonly [number, number]
  /** Added outside the square root. */
  eps?: number
  weightDecay?: number
  /** Clips the global gradient norm to this; leave it out for no clipping. */
  maxGradNorm?: number
  groups?: readonly ParameterGroup[]
  /** Updated with each step that is taken. */
  ema?: EMA
}

/** What became of the last step. */
export interface StepReport {
  /** Global norm of the gradients before clipping. */
  gradNorm: number
  /** False when the norm was not finite: then the device changed nothing. */
  taken: boolean
}

/** What a use of the norm of an earlier step is told. */
const REPLACED = { what: 'the next step of AdamW' }

export class AdamW {
  /** Steps enqueued so far, those not taken included. */
  stepCount = 0
  /** All weights with what their updates need, but for what each step brings. */
  private readonly updates: Omit<AdamWParameter, 'gradient' | 'average'>[]
  private readonly state: StateTensors<'exp_avg' | 'exp_avg_sq'>
  private readonly ema: EMA | undefined
  private readonly hyper: { lr: number; beta1: number; beta2: number; eps: number }
  private readonly maxGradNorm: number
  /** The decay the others are relative to: a backend takes one number and a factor per weight. */
  private readonly largestDecay: number
  private norm: Tensor | undefined

  /** @throws RangeError for a negative setting, or a beta outside [0, 1). */
  constructor(source: ParameterSource, options: AdamWOptions = {}) {
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01, maxGradNorm = 0, groups, ema } = options
    for (const [name, value] of Object.entries({ lr, eps, weightDecay, maxGradNorm }))
      if (!(value >= 0)) throw new RangeError(`AdamW: ${name} must be 0 or more, got ${value}`)
    for (const beta of betas)
      if (!(beta >= 0 && beta < 1)) throw new RangeError(`AdamW: betas must be in [0, 1), got [${betas.join(', ')}]`)
    this.hyper = { lr, beta1: betas[0], beta2: betas[1], eps }
    this.maxGradNorm = maxGradNorm
    this.ema = ema
    const parameters = trainedParameters(source, weightDecay, groups)
    const largest = Math.max(...parameters.map(parameter => parameter.weightDecay))
    this.largestDecay = largest
    this.state = new StateTensors(parameters, ['exp_avg', 'exp_avg_sq'])
    this.updates = parameters.map(({ name, tensor, weightDecay, lrScale }) => ({
      parameter: tensor,
      firstMoment: this.state.get('exp_avg', name),
      secondMoment: this.state.get('exp_avg_sq', name),
      decayScale: largest === 0 ? 0 : weightDecay / largest,
      lrScale,
    }))
  }

  /**
   * Enqueues one step for all weights that have a gradient.
   * @throws Error when none has.
   */
  step(options: { lr?: number } = {}): void {
    const active = this.updates.filter(({ parameter }) => parameter.grad)
    if (active.length === 0) throw new Error('AdamW.step: no weight has a gradient; call backward first')
    this.stepCount++
    this.norm?.free(REPLACED)
    this.norm = keep(
      adamwStep(
        active.map(({ parameter, firstMoment, secondMoment, decayScale, lrScale }) => ({
          parameter,
          gradient: parameter.grad!,
          firstMoment,
          secondMoment,
          average: this.ema?.shadow(parameter),
          decayScale,
          lrScale,
        })),
        {
          ...this.hyper,
          lr: options.lr ?? this.hyper.lr,
          weightDecay: this.largestDecay,
          step: this.stepCount,
          emaDecay: this.ema?.nextDecay() ?? 0,
          maxNorm: this.maxGradNorm,
        },
      ),
    )
  }

  /** Reads what became of the last step. @throws Error before the first. */
  async lastStep(): Promise<StepReport> {
    if (!this.norm) throw new Error('AdamW.lastStep: no step was made yet')
    const [gradNorm, taken] = await this.norm.data()
    return { gradNorm, taken: taken === 1 }
  }

  zeroGrad(): void {
    zeroGrad(this.updates.map(({ parameter }) => parameter))
  }

  /** Reads the moments, as they are at this call. */
  async stateDict(): Promise<OptimizerState> {
    const step = this.stepCount
    return { step, tensors: await this.state.read() }
  }

  async loadStateDict(state: OptimizerState<StateSource>): Promise<void> {
    await this.state.load(state.tensors)
    this.stepCount = state.step
  }

  /** Frees the moments; weights and EMA are not the optimizer's. */
  dispose(): void {
    this.state.dispose()
    this.norm?.dispose()
    this.norm = undefined
  }
}
