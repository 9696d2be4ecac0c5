// Keeps a bias's factors from call to call, and makes new ones only when the bias has changed enough: for a bias that training moves slowly.

import { detach, disposeAll, keep, scopeAsync, type Tensor } from '@ditkit/core'
import { biasTensor, maskTensor } from '../mask/bias-shape'
import { type BiasFingerprint, biasFingerprint, relativeChange } from './bias-fingerprint'
import { type Factorization, factorize } from './factorize'
import type { FactorizeOptions } from './options'

export interface FactorCacheOptions extends Omit<FactorizeOptions, 'mask'> {
  /** The change ‖new − old‖/‖old‖ up to which factors are kept; default 0.01. It adds to the error of the factors themselves. */
  readonly change?: number
}

export type CachedFactorization = Factorization & {
  /** Whether factors were made by this call. */
  readonly refactorized: boolean
  /** How far the bias is from the one that was factorized, ‖new − old‖/‖old‖, estimated; absent where they cannot be compared. */
  readonly change?: number
  /** One line for people. */
  readonly why: string
}

export class FactorCache {
  private readonly options: Omit<FactorizeOptions, 'mask'>
  private readonly limit: number
  private held: { readonly result: Factorization; readonly fingerprint: BiasFingerprint } | undefined

  /** @throws RangeError for a change below 0. */
  constructor({ change = 0.01, ...options }: FactorCacheOptions = {}) {
    if (!(change >= 0))
      throw new RangeError(`FactorCache: change is ${change} (expected a share of at least 0, as 0.01)`)
    this.options = options
    this.limit = change
  }

  /**
   * As `factorize`, or what it gave before. The cache owns the factors and the mask: they live until the next ones are made, or until
   * `dispose`. A refusal is kept too, with the bias of this call. One call at a time.
   */
  async factorize(bias: Tensor, { mask }: { readonly mask?: Tensor } = {}): Promise<CachedFactorization> {
    const op = 'FactorCache.factorize'
    const fingerprint = await scopeAsync(async s => {
      const whole = s.run(() => detach(biasTensor(op, bias)))
      return biasFingerprint(op, whole, mask && s.run(() => maskTensor(op, mask, whole)))
    })
    const { held } = this
    const { change, why, keeps } = this.compared(held?.fingerprint, fingerprint)
    const told = { ...(change !== undefined && { change }), why }
    if (held && keeps) return { ...current(held.result, bias, mask), ...told, refactorized: false }
    const result = await factorize(bias, { ...this.options, mask })
    for (const tensor of tensorsOf(result)) keep(tensor)
    this.dispose()
    this.held = { result, fingerprint }
    return { ...result, ...told, refactorized: true }
  }

  /** Frees what is held. The cache can be used again. */
  dispose(): void {
    if (this.held) disposeAll(tensorsOf(this.held.result))
    this.held = undefined
  }

  private compared(
    before: BiasFingerprint | undefined,
    now: BiasFingerprint,
  ): { change?: number; why: string; keeps: boolean } {
    if (!before) return { why: 'the first bias', keeps: false }
    if (before.shape.join() !== now.shape.join()) {
      return { why: `the shape changed from [${before.shape}] to [${now.shape}]`, keeps: false }
    }
    const change = relativeChange(before, now)
    if (now.blocked.join() !== before.blocked.join()) return { change, why: 'the mask changed', keeps: false }
    const keeps = change <= this.limit
    const percent = (share: number) => `${(100 * share).toPrecision(3)} %`
    const why = `the bias changed by ${percent(change)}, ${keeps ? 'not' : 'which is'} more than ${percent(this.limit)}`
    return { change, why, keeps }
  }
}

/** A refusal names the bias to use instead, which is that of this call. */
function current(result: Factorization, bias: Tensor, mask: Tensor | undefined): Factorization {
  return result.kind === 'dense' ? { ...result, options: mask ? { bias, mask } : { bias } } : result
}

/** What a result owns. */
function tensorsOf(result: Factorization): Tensor[] {
  if (result.kind === 'dense') return []
  const { factoredBias, mask } = result
  return [factoredBias.query, factoredBias.key, ...(mask ? [mask] : [])]
}
