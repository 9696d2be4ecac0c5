// Selection: the branch not taken has no influence, whatever it holds.

import { record } from '../autograd/node'
import { program } from '../program'
import { Tensor } from '../tensor'
import { checkDType, sharedDevice, sharedDType } from './operands'
import { run } from './run-program'
import { sumTo } from './sum-to'

const SELECT = program('where', 3, 0, (b, c, x, y) => b.select(c, x, y))
const SELECT_B = program('where (b a number)', 2, 1, (b, c, x, s) => b.select(c, x, s))
const SELECT_A = program('where (a a number)', 2, 1, (b, c, y, s) => b.select(c, s, y))
const SELECT_AB = program('where (numbers)', 1, 2, (b, c, s, t) => b.select(c, s, t))
const GRADIENT_A = program('where gradient a', 2, 0, (b, c, g) => b.select(c, g, b.constant(0)))
const GRADIENT_B = program('where gradient b', 2, 0, (b, c, g) => b.select(c, b.constant(0), g))

/**
 * condition ? a : b, element by element and broadcasting; condition is bool, a and b tensors of one dtype or numbers. The gradient
 * of the branch not taken is exactly 0.
 */
export function where(condition: Tensor, a: Tensor | number, b: Tensor | number): Tensor {
  checkDType('where', 'condition', condition, 'bool')
  const branches = [a, b].filter(branch => branch instanceof Tensor)
  sharedDevice('where', [condition, ...branches])
  const dtype = branches.length ? sharedDType('where', branches) : condition.device.floatDType
  for (const number of [a, b]) {
    if (dtype === 'i32' && typeof number === 'number' && !Number.isInteger(number)) {
      throw new TypeError(`where: the number ${number} is not whole but the tensor is i32; use cast(t, 'f32')`)
    }
  }
  if (!(a instanceof Tensor) && !(b instanceof Tensor)) return run(SELECT_AB, [condition], [a, b], dtype)
  const out =
    a instanceof Tensor
      ? b instanceof Tensor
        ? run(SELECT, [condition, a, b], [], dtype)
        : run(SELECT_B, [condition, a], [b], dtype)
      : run(SELECT_A, [condition, b as Tensor], [a], dtype)
  const first = a instanceof Tensor
  const shapes = branches.map(branch => branch.shape)
  record('where', branches, [out], [condition], ({ 0: g }, { saved, needs }) => {
    if (!g) return []
    return branches.map((_, i) =>
      needs[i]
        ? sumTo(run(first && i === 0 ? GRADIENT_A : GRADIENT_B, [saved[0], g], [], g.dtype), shapes[i])
        : undefined,
    )
  })
  return out
}
