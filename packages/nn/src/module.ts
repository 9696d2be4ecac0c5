// The base of layers and models: finds parameters, buffers and submodules by walking a class's fields, so that field
// names are weight names, as in PyTorch (`blocks.0.attn.qkv.weight`).

import { keep, Tensor } from '@ditkit/core'
import { matchesName, type NamePattern } from './name-pattern'
import { loadValues, readTensors, type StateDict, type StateSource, sourceEntries } from './state'

type Role = 'parameter' | 'buffer' | 'transient'
const roles = new WeakMap<Tensor, Role>()

/** Marks a tensor as a trainable weight: it gets `requiresGrad` and outlives the scope it was made in. */
export function parameter(tensor: Tensor): Tensor {
  roles.set(tensor, 'parameter')
  tensor.requiresGrad = true
  return keep(tensor)
}

/** Marks a tensor as state that is not trained. With `persistent: false` it is not part of the state dict. */
export function buffer(tensor: Tensor, options: { persistent?: boolean } = {}): Tensor {
  roles.set(tensor, options.persistent === false ? 'transient' : 'buffer')
  return keep(tensor)
}

/** The names by which a state dict and a module differ. */
export interface StateMismatch {
  /** In the module, not in the record. */
  missing: string[]
  /** In the record, not in the module. */
  unexpected: string[]
}

export abstract class Module {
  /** Whether dropout and its like are active; set by `train()` and `eval()`. */
  training = true

  /** The named things this module holds directly; a module whose weight names are not its field names overrides it. */
  protected members(): Iterable<[string, unknown]> {
    return Object.entries(this)
  }

  /** This module (named '') and all modules inside, by path. A module held twice is given once. */
  *namedModules(prefix = '', seen = new Set<Module>()): Generator<[string, Module]> {
    if (seen.has(this)) return
    seen.add(this)
    yield [prefix, this]
    for (const [name, value] of this.walk())
      if (value instanceof Module) yield* value.namedModules(join(prefix, name), seen)
  }

  /** All weights by name, frozen ones too. A tensor held under two names is given once, under the first. */
  *namedParameters(): Generator<[string, Tensor]> {
    yield* unique(this.namedTensors(), ['parameter'])
  }

  parameters(): Tensor[] {
    return Array.from(this.namedParameters(), ([, tensor]) => tensor)
  }

  /** State that is not trained, persistent or not. */
  *namedBuffers(): Generator<[string, Tensor]> {
    yield* unique(this.namedTensors(), ['buffer', 'transient'])
  }

  /** What a state dict holds, by name: parameters and persistent buffers, shared ones under each of their names. */
  stateTensors(): Map<string, Tensor> {
    return new Map([...this.namedTensors()].filter(([, tensor]) => roles.get(tensor) !== 'transient'))
  }

  /** Reads all weights and persistent buffers, as they are at this call. */
  async stateDict(): Promise<StateDict> {
    return readTensors(this.stateTensors())
  }

  /**
   * Copies values into the module's weights and persistent buffers, one tensor at a time. Nothing is changed when names
   * or shapes do not fit.
   * @throws Error listing missing and unexpected names (unless `strict` is false) and shapes that differ.
   */
  async loadStateDict(source: StateSource, options: { strict?: boolean } = {}): Promise<StateMismatch> {
    const entries = sourceEntries(source)
    const targets = this.stateTensors()
    const missing = [...targets.keys()].filter(name => !entries.has(name))
    const unexpected = [...entries.keys()].filter(name => !targets.has(name))
    const misshapen: string[] = []
    for (const [name, target] of targets) {
      const shape = entries.get(name)?.shape
      if (shape && shape.join() !== target.shape.join())
        misshapen.push(`${name}: expected [${target.shape.join(', ')}], got [${shape.join(', ')}]`)
    }
    const strict = options.strict ?? true
    const problems = [
      ...(strict ? [listed('missing', missing), listed('unexpected', unexpected)] : []),
      listed('wrong shape', misshapen),
    ].filter(text => text !== '')
    if (problems.length > 0)
      throw new Error(
        `${this.constructor.name}.loadStateDict: the weights are of another model\n${problems.join('\n')}\n` +
          (misshapen.length
            ? 'build the model with the configuration it was trained with'
            : 'or load with { strict: false }'),
      )
    for (const [name, target] of targets) {
      const entry = entries.get(name)
      if (!entry) continue
      await loadValues(target, name, entry)
    }
    return { missing, unexpected }
  }

  train(mode = true): this {
    for (const [, module] of this.namedModules()) module.training = mode
    return this
  }

  eval(): this {
    return this.train(false)
  }

  /**
   * Stops training the weights whose name fits the pattern. Optimizers made afterwards leave them alone.
   * @returns their names
   * @throws Error when no weight fits.
   */
  freeze(pattern: NamePattern): string[] {
    return this.setTrainable(pattern, false)
  }

  /** The opposite of `freeze`. */
  unfreeze(pattern: NamePattern): string[] {
    return this.setTrainable(pattern, true)
  }

  /** Frees weights, their gradients and buffers. */
  dispose(): void {
    for (const [, tensor] of [...this.namedParameters(), ...this.namedBuffers()]) {
      tensor.grad?.dispose()
      tensor.grad = undefined
      tensor.dispose()
    }
  }

  private setTrainable(pattern: NamePattern, trainable: boolean): string[] {
    const fitting = [...this.namedParameters()].filter(([name]) => matchesName(pattern, name))
    if (fitting.length === 0)
      throw new Error(
        `${this.constructor.name}: no weight is named like ${pattern}; ${listed('the weights are', [...this.stateTensors().keys()])}`,
      )
    for (const [, tensor] of fitting) tensor.requiresGrad = trainable
    return fitting.map(([name]) => name)
  }

  private *namedTensors(prefix = ''): Generator<[string, Tensor]> {
    for (const [name, value] of this.walk()) {
      const path = join(prefix, name)
      if (value instanceof Module) yield* value.namedTensors(path)
      else if (roles.has(value)) yield [path, value]
      else
        throw new Error(
          `${this.constructor.name}: field ${path} holds a tensor that is neither parameter() nor buffer(); mark it where it is made`,
        )
    }
  }

  private *walk(): Generator<[string, Tensor | Module]> {
    for (const [name, value] of this.members()) yield* flatten(name, value)
  }
}

function* flatten(name: string, value: unknown): Generator<[string, Tensor | Module]> {
  if (value instanceof Tensor || value instanceof Module) yield [name, value]
  else if (Array.isArray(value)) for (const [i, item] of value.entries()) yield* flatten(`${name}.${i}`, item)
  else if (value instanceof Map) for (const [key, item] of value) yield* flatten(`${name}.${key}`, item)
}

function* unique(tensors: Iterable<[string, Tensor]>, wanted: readonly Role[]): Generator<[string, Tensor]> {
  const seen = new Set<Tensor>()
  for (const [name, tensor] of tensors) {
    if (seen.has(tensor) || !wanted.includes(roles.get(tensor)!)) continue
    seen.add(tensor)
    yield [name, tensor]
  }
}

const join = (prefix: string, name: string) => (prefix === '' ? name : `${prefix}.${name}`)

/** `missing (3): a, b, c`, shortened to what a person reads; '' for an empty list. */
function listed(what: string, names: readonly string[], most = 8): string {
  if (names.length === 0) return ''
  const more = names.length > most ? `, and ${names.length - most} more` : ''
  return `${what} (${names.length}): ${names.slice(0, most).join(', ')}${more}`
}
