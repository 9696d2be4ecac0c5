// Per-weight state of optimizers (moments, momentum): kept across scopes, saved and loaded by `KIND.WEIGHT NAME`.

import { keep, type Tensor } from '@ditkit/core'
import type { TrainedParameter } from './parameter-groups'
import { loadValues, readTensors, type StateDict, type StateSource, sourceEntries } from './state'

/** What an optimizer needs to go on exactly. `step` counts the steps enqueued. */
export interface OptimizerState<Source extends StateSource = StateDict> {
  step: number
  tensors: Source
}

export class StateTensors<Kind extends string> {
  private readonly tensors = new Map<string, Tensor>()

  constructor(parameters: readonly TrainedParameter[], kinds: readonly Kind[]) {
    for (const { name, tensor } of parameters)
      for (const kind of kinds)
        this.tensors.set(`${kind}.${name}`, keep(tensor.device.zeros(tensor.shape, { dtype: tensor.dtype })))
  }

  get(kind: Kind, name: string): Tensor {
    return this.tensors.get(`${kind}.${name}`)!
  }

  read(): Promise<StateDict> {
    return readTensors(this.tensors)
  }

  /** @throws Error when a tensor is missing or has another shape; then nothing was changed. */
  async load(source: StateSource): Promise<void> {
    const entries = sourceEntries(source)
    for (const [name, target] of this.tensors) {
      const shape = entries.get(name)?.shape
      if (shape?.join() !== target.shape.join())
        throw new Error(
          `optimizer: ${name} is ${shape ? `[${shape.join(', ')}]` : 'missing'} in the record ` +
            `(expected [${target.shape.join(', ')}]); it was saved from another model or optimizer`,
        )
    }
    for (const [name, target] of this.tensors) {
      await loadValues(target, name, entries.get(name)!)
    }
  }

  dispose(): void {
    for (const tensor of this.tensors.values()) tensor.dispose()
    this.tensors.clear()
  }
}
