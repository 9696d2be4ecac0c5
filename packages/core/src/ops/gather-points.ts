// Rows of each sample by index: what goes with chosen points and neighbours.

import { record } from '../autograd/node'
import type { Operand } from '../backend'
import { callSite } from '../call-site'
import { bytesPerElement } from '../dtype'
import { internally } from '../scope'
import { checkShape, contiguousStrides, showShape, sizeOf } from '../shape'
import { emptyTensor, operandOf, type Tensor } from '../tensor'
import { dense } from './layout'
import { checkDType, sharedDevice } from './operands'

/**
 * values [B, P, …C] at indices (i32 [B, …S], each within 0 … P−1 of its own sample) → [B, …S, …C]; the gradient adds up in order of the
 * indices. An empty slot of a selection has index 0 and so holds point 0, whatever that is: clear it by `where`. An index
 * outside is clamped, and the next read or `sync()` rejects, naming this call.
 */
export function gatherPoints(values: Tensor, indices: Tensor): Tensor {
  return internally(() => {
    const device = sharedDevice('gatherPoints', [values, indices])
    checkDType('gatherPoints', 'indices', indices, 'i32')
    if (values.rank < 2 || indices.rank < 1 || values.shape[0] !== indices.shape[0]) {
      throw new RangeError(
        `gatherPoints: values ${showShape(values.shape)} and indices ${showShape(indices.shape)} (expected [B, P, …C] and [B, …S])`,
      )
    }
    const [batch, points, ...channels] = values.shape
    if (points === 0 && indices.size > 0) {
      throw new RangeError(`gatherPoints: values has shape ${showShape(values.shape)} (expected at least one point)`)
    }
    const shape = [...indices.shape, ...channels]
    checkShape('gatherPoints', shape)
    const site = callSite('gatherPoints', gatherPoints)
    const picks = indices.size / Math.max(1, batch)
    const { backend } = device
    const out = emptyTensor(device, shape, values.dtype)
    const table = dense(values)
    const flat = dense(indices)
    for (let b = 0; b < batch; b++) {
      backend.gather(
        sample(table, b, [points, ...channels]),
        sample(flat, b, [picks]),
        sample(out, b, [picks, ...channels]),
        site,
      )
    }
    record('gatherPoints', [values], [out], [flat], ({ 0: g }, { saved }) => {
      if (!g) return []
      const d = emptyTensor(device, [batch, points, ...channels], g.dtype)
      backend.fill(d, 0)
      const gradient = dense(g)
      for (let b = 0; b < batch; b++) {
        const from = sample(gradient, b, [picks, ...channels])
        backend.scatterAdd(sample(d, b, [points, ...channels]), sample(saved[0], b, [picks]), from, site)
      }
      return [d]
    })
    return out
  })
}

/** Sample `b` of a contiguous tensor, as `shape`. */
function sample(x: Tensor, b: number, shape: readonly number[]): Operand {
  return operandOf(x, shape, contiguousStrides(shape), x.byteOffset + b * sizeOf(shape) * bytesPerElement(x.dtype))
}
