// One attention call from start to tape: normalise, choose a kernel, run it, route its gradients.

import { type BackwardFunction, record } from '../autograd/node'
import { bytesPerElement, type DType } from '../dtype'
import { dense } from '../ops/layout'
import { internally } from '../scope'
import { contiguousStrides } from '../shape'
import { emptyTensor, type Tensor, viewOf } from '../tensor'
import { chooseKernel } from './dispatch'
import type { AttentionContext, AttentionGradients, AttentionKernel, AttentionOutput, AttentionProblem } from './kernel'
import type { AttentionOptions } from './options'
import { normalise, type TensorOperands, wantedGradients } from './problem'

type Part = 'q' | 'k' | 'v'

/** A tensor on the tape and what it holds: one of q, k, v, or several along axis 2. */
export interface Source {
  readonly tensor: Tensor
  readonly parts: readonly Part[]
}

/** The view of part `index` of a packed projection [B, N, parts, H, D]; the tensor itself where there is one part. */
function partOf(x: Tensor, index: number, count: number): Tensor {
  if (count === 1) return x
  const drop = (values: readonly number[]) => values.filter((_, axis) => axis !== 2)
  return viewOf(x, drop(x.shape), drop(x.strides), x.byteOffset + index * x.strides[2] * bytesPerElement(x.dtype))
}

function partsOf(sources: readonly Source[]): Record<Part, Tensor> {
  const parts: Partial<Record<Part, Tensor>> = {}
  for (const { tensor, parts: names } of sources) {
    names.forEach((name, index) => {
      parts[name] = partOf(tensor, index, names.length)
    })
  }
  return parts as Record<Part, Tensor>
}

/** Runs a call and puts it on the tape. `sources` hold q, k and v between them. */
export function callAttention(op: string, sources: readonly Source[], options: AttentionOptions): Tensor {
  return internally(() => {
    const { q, k, v } = partsOf(sources)
    const holder = Object.fromEntries(sources.flatMap(s => s.parts.map(part => [part, s.tensor])))
    const gradients = wantedGradients(holder as Record<Part, Tensor>, options)
    const { problem, operands } = normalise(op, q, k, v, options, gradients)
    const { device } = q
    const kernel = chooseKernel(op, device, problem, options.kernel)
    const shape = [q.shape[0], q.shape[1], q.shape[2], v.shape[3]]
    if (isTrivial(problem)) return trivial(op, sources, options, shape, problem.dtype)

    const out = emptyTensor(device, shape, problem.dtype)
    const result = kernel.forward(problem, operands, contextFor(out, { out }))
    if (result.out !== out) throw new Error(`attention kernel ${kernel.name} did not return the output it was given`)
    const names = (Object.keys(operands) as (keyof TensorOperands)[]).filter(
      (name): name is OperandName => name !== 'host' && operands[name] !== undefined,
    )
    const saved = [...names.map(name => operands[name] as Tensor), ...(result.saved as Tensor[])]
    const tape = tapeInputs(sources, options)
    record(op, tape.inputs, [out], saved, ([gradient], context) => {
      if (!gradient) return []
      const restored = Object.fromEntries(names.map((name, i) => [name, context.saved[i]]))
      return runBackward(
        kernel,
        { ...problem, gradients: tape.wanted(context.needs) },
        { ...restored, host: operands.host } as unknown as TensorOperands,
        context.saved.slice(names.length),
        dense(gradient),
        sources.map((source, i) => ({ parts: source.parts, shape: source.tensor.shape, needed: context.needs[i] })),
        tape,
      )
    })
    return out
  })
}

type OperandName = Exclude<keyof TensorOperands, 'host'>

/** The tensors a call takes gradients for, in the order of the tape. */
interface TapeInputs {
  readonly inputs: readonly Tensor[]
  /** Shape of the bias as the caller gave it. */
  readonly biasShape: readonly number[] | undefined
  wanted(needs: readonly boolean[]): AttentionProblem['gradients']
  /** Lines gradients up with `inputs`. */
  order(sources: readonly (Tensor | undefined)[], gradients: AttentionGradients): (Tensor | undefined)[]
}

function tapeInputs(sources: readonly Source[], options: AttentionOptions): TapeInputs {
  const { bias, factoredBias } = options
  const count = sources.length
  const biasAt = count
  const factorAt = biasAt + (bias ? 1 : 0)
  const partNames = sources.map(source => source.parts)
  const biasShape = bias?.shape
  return {
    inputs: [
      ...sources.map(source => source.tensor),
      ...(bias ? [bias] : []),
      ...(factoredBias ? [factoredBias.query, factoredBias.key] : []),
    ],
    biasShape,
    wanted(needs) {
      const part = (name: Part) => needs[partNames.findIndex(names => names.includes(name))]
      return {
        q: part('q'),
        k: part('k'),
        v: part('v'),
        bias: biasShape !== undefined && needs[biasAt],
        factors: Boolean(needs[factorAt] || needs[factorAt + 1]),
      }
    },
    order(list, gradients) {
      const { bias: dBias, factorQuery, factorKey } = gradients as Partial<Record<AttentionOutput, Tensor>>
      return [
        ...list,
        ...(biasShape ? [dBias && viewOf(dBias, biasShape, contiguousStrides(biasShape))] : []),
        factorQuery,
        factorKey,
      ]
    },
  }
}

function contextFor(like: Tensor, outputs: Partial<Record<AttentionOutput, Tensor>>): AttentionContext {
  const { device } = like
  return {
    backend: device.backend,
    output(name) {
      const tensor = outputs[name]
      if (!tensor) throw new Error(`attention kernel: there is no output '${name}' in this call`)
      return tensor
    },
    empty: (shape: readonly number[], dtype: DType) => emptyTensor(device, shape, dtype),
  }
}

function runBackward(
  kernel: AttentionKernel,
  problem: AttentionProblem,
  operands: TensorOperands,
  saved: readonly Tensor[],
  dOut: Tensor,
  sources: readonly { parts: readonly Part[]; shape: readonly number[]; needed: boolean }[],
  tape: TapeInputs,
): ReturnType<BackwardFunction> {
  const { device } = dOut
  const outputs: Partial<Record<AttentionOutput, Tensor>> = {}
  const list = sources.map(({ parts, shape, needed }) => {
    if (!needed) return undefined
    // One gradient for a packed projection: the kernel writes its parts in place.
    const whole = emptyTensor(device, shape, problem.dtype)
    parts.forEach((part, index) => {
      outputs[part] = partOf(whole, index, parts.length)
    })
    return whole
  })
  const like = (x: Tensor | undefined) => x && emptyTensor(device, x.shape, problem.dtype)
  if (problem.gradients.bias) outputs.bias = like(operands.bias)
  if (problem.gradients.factors) {
    outputs.factorQuery = like(operands.factorQuery)
    outputs.factorKey = like(operands.factorKey)
  }
  const gradients = kernel.backward(problem, operands, saved, dOut, contextFor(dOut, outputs))
  for (const name of Object.keys(outputs) as Exclude<AttentionOutput, 'out'>[]) {
    if (gradients[name] !== outputs[name]) {
      throw new Error(`attention kernel ${kernel.name} did not return the gradient '${name}' it was given`)
    }
  }
  return tape.order(list, gradients)
}

/** Without a pair of tokens, or a number in the result, there is nothing for a kernel to do. */
function isTrivial(problem: AttentionProblem): boolean {
  const { batch, queryTokens, keyTokens, heads, valueDim } = problem
  return batch * queryTokens * keyTokens * heads * valueDim === 0
}

function trivial(
  op: string,
  sources: readonly Source[],
  options: AttentionOptions,
  shape: readonly number[],
  dtype: DType,
): Tensor {
  const { device } = sources[0].tensor
  const out = device.zeros(shape, { dtype })
  const { inputs } = tapeInputs(sources, options)
  const shapes = inputs.map(input => input.shape)
  record(op, inputs, [out], [], (_, { needs }) =>
    shapes.map((gradient, i) => (needs[i] ? device.zeros(gradient, { dtype }) : undefined)),
  )
  return out
}
