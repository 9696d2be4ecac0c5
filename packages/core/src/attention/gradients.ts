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

const BIAS: readonly GradientName[] = ['bias']
const FACTOR_QUERY: readonly GradientName[] = ['factorQuery']
const FACTOR_KEY: readonly GradientName[] = ['factorKey']

export function routing(sources: readonly Source[], { bias, factoredBias }: AttentionOptions): Routing {
  const inputs: Tensor[] = []
  const routes: Route[] = []
  const hold = (tensor: Tensor | undefined, names: readonly GradientName[]) => {
    // What is not a tensor is refused by name later on.
    if (!(tensor instanceof Tensor)) return
    inputs.push(tensor)
    routes.push({ shape: tensor.shape, names })
  }
  for (const { tensor, parts } of sources) hold(tensor, parts)
  hold(bias, BIAS)
  hold(factoredBias?.query, FACTOR_QUERY)
  hold(factoredBias?.key, FACTOR_KEY)
  return { inputs, routes }
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
