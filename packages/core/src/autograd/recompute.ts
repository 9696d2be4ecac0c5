// Activation checkpointing (Chen et al. 2016, arXiv:1604.06174): keep a function's inputs, not its activations, and run it again in
// the backward pass.

import { internally, rejectPromise } from '../scope'
import { Tensor, viewOf } from '../tensor'
import { currentPass } from './engine'
import { isGradEnabled, withGrad } from './mode'
import { attach, GradNode, watchLeaves } from './node'

/**
 * `fn(...inputs)` without keeping activations for the gradient: backward runs `fn` again. `fn` must be a function of its
 * inputs, of parameters, and of explicit random keys, so that the second run repeats the first. Parameters it uses receive
 * their gradients. Throws when `fn` returns a Promise.
 */
export function recompute(fn: (...inputs: Tensor[]) => Tensor, ...inputs: Tensor[]): Tensor {
  if (!isGradEnabled()) return checked(fn(...inputs))
  const { result: output, leaves } = watchLeaves(() => withGrad(false, () => internally(() => checked(fn(...inputs)))))
  // An output that is one of the inputs (or was recorded by someone else) becomes a result of this node under a handle of its own.
  const result = inputs.includes(output) || output.requiresGrad ? viewOf(output, output.shape, output.strides) : output
  if (leaves.length === 0 && !output.requiresGrad && !inputs.some(input => input.requiresGrad)) return result
  const count = inputs.length
  // Parameters are saved for their versions alone: one changed since would make the second run another function.
  const saved = [...inputs, ...leaves.filter(leaf => !leaf.disposed && !inputs.includes(leaf))]
  const node = new GradNode(
    'recompute',
    inputs.map(input => input.edge),
    saved,
    ({ 0: gradient }, context) => {
      if (gradient) replay(fn, context.saved.slice(0, count), node, gradient)
      return []
    },
  )
  node.opaque = true
  attach(node, [result])
  return result
}

function replay(
  fn: (...inputs: Tensor[]) => Tensor,
  saved: readonly Tensor[],
  outer: GradNode,
  gradient: Tensor,
): void {
  const pass = currentPass()
  withGrad(true, () => {
    const inputs = saved.map((tensor, i) => {
      const input = viewOf(tensor, tensor.shape, tensor.strides)
      const edge = outer.edges[i]
      if (edge) attach(new GradNode('recompute input', [edge], [], ({ 0: g }) => [g]), [input])
      return input
    })
    const output = checked(fn(...inputs))
    const { edge } = output
    // The pass takes over this handle, so it must not belong to the running scope.
    if (edge) pass(edge, Tensor.view(gradient, gradient.shape, gradient.strides, gradient.byteOffset))
  })
}

function checked(output: Tensor): Tensor {
  rejectPromise('recompute', output)
  return output
}
