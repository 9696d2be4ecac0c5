// Exponential moving average of weights: a shadow copy that samples better than the weights themselves (Polyak & Juditsky 1992).

import { add, assign, keep, mul, noGrad, scope, type Tensor } from '@ditkit/core'
import type { Module } from './module'
import { loadValues, readTensors, type StateDict, type StateSource, sourceEntries } from './state'

export interface EMAOptions {
  /** The share of the shadow kept at each update. */
  decay: number
  /** Starts with min(decay, (1 + n) / (10 + n)) at update n, so that the random first weights are soon forgotten. */
  warmup?: boolean
}

/** Shadows of the weights of `module` that are trainable when it is made, starting from their values then. */
export class EMA {
  /** Updates made so far; saved next to the weights, it resumes the warm-up. */
  updates = 0
  private readonly shadows = new Map<Tensor, Tensor>()
  private applied_ = false

  constructor(
    private readonly module: Module,
    private readonly options: EMAOptions,
  ) {
    if (!(options.decay >= 0 && options.decay < 1))
      throw new RangeError(`EMA: decay must be in [0, 1), got ${options.decay}`)
    for (const parameter of module.parameters())
      if (parameter.requiresGrad) this.shadows.set(parameter, keep(parameter.device.copyOf(parameter)))
  }

  /** Whether the module holds the shadow weights now. */
  get applied(): boolean {
    return this.applied_
  }

  /** The shadow of a weight; undefined for one that is frozen. */
  shadow(parameter: Tensor): Tensor | undefined {
    return this.shadows.get(parameter)
  }

  /** Counts an update and gives its decay; for optimizers that update the shadows in their own pass. */
  nextDecay(): number {
    if (this.applied_) throw new Error('EMA: the module holds the shadow weights; call swap() before training goes on')
    const n = ++this.updates
    return this.options.warmup ? Math.min(this.options.decay, (1 + n) / (10 + n)) : this.options.decay
  }

  /** shadow ← decay·shadow + (1 − decay)·weight, for optimizers that were not given this EMA. */
  update(): void {
    const decay = this.nextDecay()
    for (const [parameter, shadow] of this.shadows)
      scope(() => noGrad(() => assign(shadow, add(mul(shadow, decay), mul(parameter, 1 - decay)))))
  }

  /** Exchanges weights and shadows in place. Twice is the identity. */
  swap(): void {
    for (const [parameter, shadow] of this.shadows) {
      const trained = parameter.device.copyOf(parameter)
      assign(parameter, shadow)
      assign(shadow, trained)
      trained.dispose()
    }
    this.applied_ = !this.applied_
  }

  /** Runs `fn` with the shadow weights in the module, and puts the trained ones back whatever happens. */
  async whileApplied<T>(fn: () => T | Promise<T>): Promise<T> {
    this.swap()
    try {
      return await fn()
    } finally {
      this.swap()
    }
  }

  /** The module's state dict with the shadow weights in it; frozen weights and buffers are the module's own. */
  async stateDict(): Promise<StateDict> {
    const averaged = new Map(
      [...this.module.stateTensors()].map(([name, tensor]) => [name, this.averageOf(tensor)] as const),
    )
    return readTensors(averaged)
  }

  /**
   * Loads the shadows from a state dict of the module's names.
   * @throws Error when a shadow's weight is missing or has another shape.
   */
  async loadStateDict(source: StateSource, options: { updates: number }): Promise<void> {
    const entries = sourceEntries(source)
    for (const [name, parameter] of this.module.namedParameters()) {
      const shadow = this.shadows.get(parameter)
      if (!shadow) continue
      const entry = entries.get(name)
      if (!entry || entry.shape.join() !== shadow.shape.join())
        throw new Error(
          `EMA.loadStateDict: ${name} is ${entry ? `[${entry.shape.join(', ')}]` : 'missing'} in the record ` +
            `(expected [${shadow.shape.join(', ')}]); it was saved from another model`,
        )
      await loadValues(shadow, name, entry)
    }
    this.updates = options.updates
  }

  dispose(): void {
    for (const shadow of this.shadows.values()) shadow.dispose()
    this.shadows.clear()
  }

  /** While swapped, the average is in the weight itself. */
  private averageOf(tensor: Tensor): Tensor {
    return this.applied_ ? tensor : (this.shadows.get(tensor) ?? tensor)
  }
}
