// What an optimizer trains: the trainable weights of a module by name, each with its weight decay and rate.

import { disposeAll, type Tensor } from '@ditkit/core'
import type { Module } from './module'
import { matchesName, type NamePattern } from './name-pattern'

/** Settings for the weights whose name fits; the first group that fits counts. */
export interface ParameterGroup {
  match: NamePattern
  weightDecay?: number
  /** Multiplies the learning rate. */
  lrScale?: number
}

export interface TrainedParameter {
  readonly name: string
  readonly tensor: Tensor
  readonly weightDecay: number
  readonly lrScale: number
}

/** A module, or named tensors such as `module.namedParameters()` filtered. */
export type ParameterSource = Module | Iterable<readonly [string, Tensor]>

/**
 * The trainable weights of `source`, with their settings.
 * @throws Error when nothing is trainable, or a group fits no weight.
 */
export function trainedParameters(
  source: ParameterSource,
  weightDecay: number,
  groups: readonly ParameterGroup[] = [],
): TrainedParameter[] {
  const named = [...(Symbol.iterator in source ? source : source.namedParameters())]
  const trainable = named.filter(([, tensor]) => tensor.requiresGrad)
  if (trainable.length === 0)
    throw new Error(`optimizer: none of the ${named.length} weights is trainable; unfreeze() some before making it`)
  const used = new Set<ParameterGroup>()
  const trained = trainable.map(([name, tensor]) => {
    const group = groups.find(candidate => matchesName(candidate.match, name))
    if (group) used.add(group)
    // Errors of autograd then name the weight.
    tensor.name = name
    return { name, tensor, weightDecay: group?.weightDecay ?? weightDecay, lrScale: group?.lrScale ?? 1 }
  })
  const unused = groups.find(group => !used.has(group))
  if (unused) throw new Error(`optimizer: group ${unused.match} fits no trainable weight that an earlier group left`)
  return trained
}

/** Frees all gradients. */
export function zeroGrad(parameters: Iterable<Tensor>): void {
  const held = [...parameters]
  disposeAll(held.map(parameter => parameter.grad))
  for (const parameter of held) parameter.grad = undefined
}
