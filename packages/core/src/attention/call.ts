// One attention call from start to tape: normalise, choose a kernel, run it, and record how to run its backward.

import { type BackwardFunction, record } from '../autograd/node'
import type { Device } from '../device'
import { dense } from '../ops/layout'
import { internally } from '../scope'
import { emptyTensor, type Tensor } from '../tensor'
import { chooseKernel } from './dispatch'
import {
  type GradientName,
  gradientOutputs,
  gradientsAhead,
  gradientsFor,
  partOf,
  type Route,
  routing,
  type Source,
} from './gradients'
import type { AttentionContext, AttentionKernel, AttentionOutput, AttentionProblem } from './kernel'
import type { AttentionOptions } from './options'
import { normalise, type PublicCall, type TensorOperands } from './problem'

/** Runs a call and puts it on the tape. `sources` hold q, k and v between them. */
export function callAttention(call: PublicCall, sources: readonly Source[], options: AttentionOptions): Tensor {
  return internally(() => {
    const { op } = call
    const { q, k, v } = partsOf(sources)
    const tape = routing(sources, options)
    const { problem, operands } = normalise(call, q, k, v, options, gradientsAhead(tape))
    const { device } = q
    const kernel = chooseKernel(op, device, problem, options.kernel)
    const out = emptyTensor(device, [q.shape[0], q.shape[1], q.shape[2], v.shape[3]], problem.dtype)
    if (isEmpty(problem)) {
      device.backend.fill(out, 0)
      record(op, tape.inputs, [out], [], zeroGradients(device, problem, tape.routes))
      return out
    }
    const result = kernel.forward(problem, operands, contextFor(device, { out }))
    if (result.out !== out) throw new Error(`attention kernel ${kernel.name} did not return the output it was given`)
    const names = tensorNames(operands)
    const saved = names.map(name => operands[name] as Tensor).concat(result.saved as Tensor[])
    record(op, tape.inputs, [out], saved, kernelGradients(kernel, problem, names, operands.host, tape.routes))
    return out
  })
}

function partsOf(sources: readonly Source[]): Record<'q' | 'k' | 'v', Tensor> {
  const found: { q?: Tensor; k?: Tensor; v?: Tensor } = {}
  sources.forEach(({ tensor, parts }) => {
    parts.forEach((part, i) => {
      found[part] = partOf(tensor, i, parts.length)
    })
  })
  return found as Record<'q' | 'k' | 'v', Tensor>
}

type TensorName = Exclude<keyof TensorOperands, 'host'>

/** The operands that the call has. */
function tensorNames(operands: TensorOperands): TensorName[] {
  const names = Object.keys(operands) as (keyof TensorOperands)[]
  return names.filter((name): name is TensorName => name !== 'host' && operands[name] !== undefined)
}

/** Without a pair of tokens, or a number in the result, there is nothing for a kernel to do. */
function isEmpty(problem: AttentionProblem): boolean {
  const { batch, queryTokens, keyTokens, heads, valueDim } = problem
  return batch * queryTokens * keyTokens * heads * valueDim === 0
}

function contextFor(device: Device, outputs: Partial<Record<AttentionOutput, Tensor>>): AttentionContext {
  return {
    backend: device.backend,
    output(name) {
      const tensor = outputs[name]
      if (!tensor) throw new Error(`attention kernel: there is no output '${name}' in this call`)
      return tensor
    },
    empty: (shape, dtype) => emptyTensor(device, shape, dtype),
  }
}

// The functions below make what the tape keeps until backward. They are given no tensors, so that it keeps none alive.

function zeroGradients(device: Device, problem: AttentionProblem, routes: readonly Route[]): BackwardFunction {
  return (_, { needs }) =>
    routes.map(({ shape }, i) => (needs[i] ? device.zeros(shape, { dtype: problem.dtype }) : undefined))
}

/** `names` are those of the operands, which come first among the saved tensors; the kernel's own follow. */
function kernelGradients(
  kernel: AttentionKernel,
  forward: AttentionProblem,
  names: readonly TensorName[],
  host: TensorOperands['host'],
  routes: readonly Route[],
): BackwardFunction {
  return ({ 0: gradient }, { saved, needs }) => {
    if (!gradient) return []
    const { device } = gradient
    const problem = { ...forward, gradients: gradientsFor(routes, needs) }
    const operands: { [name in TensorName]?: Tensor } & Pick<TensorOperands, 'host'> = { host }
    names.forEach((name, i) => {
      operands[name] = saved[i]
    })
    const { tensors: gradients, outputs } = gradientOutputs(device, problem, routes)
    const context = contextFor(device, outputs)
    const results = kernel.backward(
      problem,
      operands as TensorOperands,
      saved.slice(names.length),
      dense(gradient),
      context,
    )
    for (const name of Object.keys(outputs) as GradientName[]) {
      if (results[name] !== outputs[name]) {
        throw new Error(`attention kernel ${kernel.name} did not return the gradient '${name}' it was given`)
      }
    }
    return gradients
  }
}
