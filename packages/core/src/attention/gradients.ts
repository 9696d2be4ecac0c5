// Where the gradients of a call go: which tensors on the tape hold its operands, and where in them.

import { shouldRecord } from '../autograd/node'
import type { Device } from '../device'
import { bytesPerElement } from '../dtype'
import { contiguousStrides } from '../shape'
import { emptyTensor, Tensor, viewOf } from '../tensor'
import type { AttentionOutput, AttentionProblem } from './kernel'
import type { AttentionOptions } from './options'

export type GradientName = Exclude<AttentionOutput, 'out'>

/** A tensor on the tape and what it holds: one of q, k, v, or several of them along axis 2. */
export interface Source {
  readonly tensor: Tensor
  readonly parts: readonly ('q' | 'k' | 'v')[]
}

/** A tensor of the tape without the tensor: closures of the tape must not keep handles alive. */
export interface Route {
  readonly shape: readonly number[]
  readonly names: readonly GradientName[]
}

/** The inputs of a call on the tape, and what each of them holds. */
export interface Routing {
  readonly inputs: readonly Tensor[]
  readonly routes: readonly Route[]
}

export function routing(sources: readonly Source[], { bias, factoredBias }: AttentionOptions): Routing {
  const held: [Tensor | undefined, readonly GradientName[]][] = [
    ...sources.map(({ tensor, parts }): [Tensor, readonly GradientName[]] => [tensor, parts]),
    [bias, ['bias']],
    [factoredBias?.query, ['factorQuery']],
    [factoredBias?.key, ['factorKey']],
  ]
  // What is not a tensor is refused by name later on.
  const present = held.filter((entry): entry is [Tensor, readonly GradientName[]] => entry[0] instanceof Tensor)
  return {
    inputs: present.map(([tensor]) => tensor),
    routes: present.map(([tensor, names]) => ({ shape: tensor.shape, names })),
  }
}

/** Which gradients backward will be asked for, when it is asked for all there are. */
export function gradientsAhead({ inputs, routes }: Routing): AttentionProblem['gradients'] {
  return gradientsFor(
    routes,
    inputs.map(input => shouldRecord([input])),
  )
}

export function gradientsFor(routes: readonly Route[], needs: readonly boolean[]): AttentionProblem['gradients'] {
  const has = (name: GradientName) => routes.some((route, i) => needs[i] && route.names.includes(name))
  return { q: has('q'), k: has('k'), v: has('v'), bias: has('bias'), factors: has('factorQuery') || has('factorKey') }
}

/** The view of part `index` of a packed projection [B, N, parts, H, D]; the tensor itself where there is one part. */
export function partOf(x: Tensor, index: number, count: number): Tensor {
  if (count === 1) return x
  const drop = (values: readonly number[]) => values.filter((_, axis) => axis !== 2)
  return viewOf(x, drop(x.shape), drop(x.strides), x.byteOffset + index * x.strides[2] * bytesPerElement(x.dtype))
}

/**
 * Memory for the gradients a problem names: one tensor per route, and the views of it that a kernel writes. A packed projection gets one
 * gradient, written in place.
 */
export function gradientOutputs(
  device: Device,
  problem: AttentionProblem,
  routes: readonly Route[],
): { tensors: (Tensor | undefined)[]; outputs: Partial<Record<GradientName, Tensor>> } {
  const { factors, ...others } = problem.gradients
  const wanted: Record<GradientName, boolean> = { ...others, factorQuery: factors, factorKey: factors }
  const outputs: Partial<Record<GradientName, Tensor>> = {}
  const tensors = routes.map(({ shape, names }) => {
    if (!names.some(name => wanted[name])) return undefined
    const tensor = emptyTensor(device, shape, problem.dtype)
    names.forEach((name, index) => {
      outputs[name] =
        name === 'bias' && problem.biasShape
          ? viewOf(tensor, problem.biasShape, contiguousStrides(problem.biasShape))
          : partOf(tensor, index, names.length)
    })
    return tensor
  })
  return { tensors, outputs }
}
