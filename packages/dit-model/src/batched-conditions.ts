// Encoded conditions of one sample each, or of several models' runs, as one batch.

import { concat, expand, pad, type Tensor } from '@ditkit/core'
import type { EncodedCondition } from './condition'

type Parts = Record<string, Tensor>

/** The tensors of an encoded condition, all [B, tokens, …], by name. */
function partsOf({ encoded: _, ...parts }: EncodedCondition): Parts {
  return Object.fromEntries(Object.entries(parts).filter(([, tensor]) => tensor)) as Parts
}

/** A condition of one sample for `batch` of them; one of `batch` samples as it is. */
export function repeated(condition: EncodedCondition, batch: number): EncodedCondition {
  const parts = partsOf(condition)
  for (const [name, tensor] of Object.entries(parts)) {
    const [samples] = tensor.shape
    if (samples !== 1 && samples !== batch)
      throw new RangeError(
        `SceneDiT: the condition has ${samples} samples but x has ${batch} (expected as many, or one)`,
      )
    if (samples !== batch) parts[name] = expand(tensor, [batch, ...tensor.shape.slice(1)])
  }
  return { encoded: true, ...parts }
}

/** Conditions one after another along the batch; those of fewer tokens are padded. */
export function batched(conditions: readonly EncodedCondition[]): EncodedCondition {
  if (conditions.length === 1) return conditions[0]
  const parts = conditions.map(partsOf)
  const joined = Object.keys(parts[0]).map(name => {
    const tensors = parts.map(each => each[name])
    const most = Math.max(...tensors.map(({ shape }) => shape[1]))
    const padded = tensors.map(tensor => {
      const widths = tensor.shape.map((n, axis): [number, number] => [0, axis === 1 ? most - n : 0])
      return tensor.shape[1] === most ? tensor : pad(tensor, widths)
    })
    return [name, concat(padded, 0)]
  })
  return { encoded: true, ...Object.fromEntries(joined) }
}
