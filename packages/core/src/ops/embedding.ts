// Rows of a table by index.

import { record } from '../autograd/node'
import type { Operand } from '../backend'
import { callSite } from '../call-site'
import { internally } from '../scope'
import { contiguousStrides, showShape } from '../shape'
import { emptyTensor, operandOf, type Tensor, viewOf } from '../tensor'
import { dense } from './layout'
import { checkDType, sharedDevice } from './operands'

/**
 * Rows of `table` [V, …rest] at `index` (i32, any shape) → [...index.shape, …rest]. An index outside 0 … V−1 is only seen
 * on the device: it is clamped, and the next read or `sync()` rejects, naming this call.
 */
export function embedding(table: Tensor, index: Tensor): Tensor {
  return internally(() => {
    const device = sharedDevice('embedding', [table, index])
    checkDType('embedding', 'index', index, 'i32')
    if (table.rank < 1 || table.shape[0] === 0) {
      throw new RangeError(`embedding: table has shape ${showShape(table.shape)} (expected at least one row)`)
    }
    const rest = table.shape.slice(1)
    const site = callSite('embedding', embedding)
    const flat = flatIndex(index)
    const out = emptyTensor(device, [...index.shape, ...rest], table.dtype)
    device.backend.gather(dense(table), flat, rowsOf(out, flat.size, rest), site)
    const { shape } = table
    record('embedding', [table], [out], [flat], ({ 0: g }, { saved }) => {
      if (!g) return []
      const d = emptyTensor(device, shape, g.dtype)
      device.backend.fill(d, 0)
      device.backend.scatterAdd(d, saved[0], rowsOf(dense(g), saved[0].size, rest), site)
      return [d]
    })
    return out
  })
}

/**
 * `base` [V, …rest] plus `rows` [...index.shape, …rest] added at `index`, in order of the index; differentiable in both.
 */
export function scatterAdd(base: Tensor, index: Tensor, rows: Tensor): Tensor {
  return internally(() => {
    const device = sharedDevice('scatterAdd', [base, index, rows])
    checkDType('scatterAdd', 'index', index, 'i32')
    checkDType('scatterAdd', 'rows', rows, base.dtype)
    if (base.rank < 1) throw new RangeError('scatterAdd: base has shape [] (expected [V, …rest])')
    const rest = base.shape.slice(1)
    const expected = [...index.shape, ...rest]
    if (showShape(rows.shape) !== showShape(expected)) {
      throw new RangeError(`scatterAdd: rows has shape ${showShape(rows.shape)} (expected ${showShape(expected)})`)
    }
    const site = callSite('scatterAdd', scatterAdd)
    const flat = flatIndex(index)
    const out = emptyTensor(device, base.shape, base.dtype)
    device.backend.copy(base, out)
    device.backend.scatterAdd(out, flat, rowsOf(dense(rows), flat.size, rest), site)
    record('scatterAdd', [base, rows], [out], [flat], ({ 0: g }, { saved, needs }) => {
      if (!g) return []
      if (!needs[1]) return [g]
      const d = emptyTensor(device, expected, g.dtype)
      device.backend.gather(dense(g), saved[0], rowsOf(d, saved[0].size, rest), site)
      return [g, d]
    })
    return out
  })
}

function flatIndex(index: Tensor): Tensor {
  const source = dense(index)
  return viewOf(source, [index.size], [1])
}

/** A contiguous tensor's memory as [rows, …rest]. */
function rowsOf(x: Tensor, rows: number, rest: readonly number[]): Operand {
  const shape = [rows, ...rest]
  return operandOf(x, shape, contiguousStrides(shape))
}
