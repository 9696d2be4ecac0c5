// Ops from outside core, with a gradient of their own and, where it pays, a kernel per device.

import { sharedDevice } from '../ops/operands'
import { internally } from '../scope'
import type { Tensor } from '../tensor'
import { noGrad } from './mode'
import { record } from './node'

export interface CustomForward {
  /** Keeps tensors (inputs or results) for the gradient. */
  save(...tensors: Tensor[]): void
}

export interface CustomBackward {
  /** What forward saved, in order. */
  readonly saved: readonly Tensor[]
  /** Whether input i wants a gradient. */
  readonly needs: readonly boolean[]
}

type Forward = (context: CustomForward, ...inputs: Tensor[]) => Tensor

export interface CustomOp {
  readonly name: string
  /** Composed from core ops, for any device. Its own ops are not recorded. */
  readonly forward: Forward
  /** Gradients of the inputs, from that of the result; undefined where an input needs none. */
  readonly backward: (context: CustomBackward, gradient: Tensor) => readonly (Tensor | undefined)[]
  /** Faster forwards by device name; they must save what `forward` saves. */
  readonly kernels?: Readonly<Record<string, Forward>>
}

/** Makes a differentiable op: `const cube = customOp({ name: 'cube', forward: (c, x) => { c.save(x); … }, backward: … })`. */
export function customOp(op: CustomOp): (...inputs: Tensor[]) => Tensor {
  return (...inputs) => {
    const device = sharedDevice(op.name, inputs)
    return internally(() => {
      const saved: Tensor[] = []
      const forward = op.kernels?.[device.name] ?? op.forward
      const output = noGrad(() => forward({ save: (...tensors) => saved.push(...tensors) }, ...inputs))
      if (inputs.includes(output))
        throw new TypeError(`${op.name}: forward returned one of its inputs (expected a new tensor)`)
      record(op.name, inputs, [output], saved, ({ 0: gradient }, context) =>
        gradient ? op.backward(context, gradient) : [],
      )
      return output
    })
  }
}
