// A backend that looks at every result of another: which of them was the first to hold a NaN or an infinity. For
// replaying a step that went wrong; slower, and otherwise the same.

import { type Backend, isFloat, type Operand, program, type StorageRef } from '@ditkit/core'

const IS_FINITE = program('isFinite', 1, 0, (b, x) => b.isFinite(x))

type Arguments = readonly unknown[]

/** The operands a primitive writes; primitives that only move or fill are left out. */
const RESULTS: Record<string, (args: Arguments) => unknown[]> = {
  random: args => [args[0]],
  elementwise: args => args[4] as unknown[],
  reduce: args => [args[2]],
  matmul: args => [args[2]],
  gather: args => [args[2]],
  scatterAdd: args => [args[0]],
  nearestPoints: args => [args[6]],
  layerNorm: args => args.slice(4, 7),
  layerNormBackward: args => args.slice(5, 8),
  gatedResidualBackward: args => args.slice(3, 6),
}

export class FiniteChecks {
  /** Where the model is, as the caller keeps it; noted with each result. */
  where: () => string = () => ''
  recording = false
  private readonly checks: Promise<string | undefined>[] = []
  readonly backend: Backend

  constructor(private readonly inner: Backend) {
    this.backend = new Proxy(inner, { get: (target, name) => this.wrapped(target, name as string) })
  }

  /** The first result that was not finite, in words; undefined when all were. */
  async first(): Promise<string | undefined> {
    return (await Promise.all(this.checks)).find(found => found !== undefined)
  }

  private wrapped(target: Backend, name: string): unknown {
    const member = Reflect.get(target, name)
    if (name === 'attentionKernels') return target.attentionKernels.map(kernel => this.wrapKernel(kernel))
    if (typeof member !== 'function') return member
    const results = RESULTS[name]
    if (!results) return member.bind(target)
    return (...args: unknown[]) => {
      member.apply(target, args)
      const what = name === 'elementwise' ? (args[0] as { name: string }).name : name
      for (const operand of results(args)) this.check(what, operand as Operand | undefined)
    }
  }

  private wrapKernel(kernel: Backend['attentionKernels'][number]): typeof kernel {
    return {
      ...kernel,
      name: kernel.name,
      contract: kernel.contract,
      features: kernel.features,
      supports: problem => kernel.supports(problem),
      forward: (problem, operands, context) => {
        const result = kernel.forward(problem, operands, context)
        this.check('attention', result.out)
        return result
      },
      backward: (problem, operands, saved, dOut, context) => {
        const gradients = kernel.backward(problem, operands, saved, dOut, context)
        for (const [name, gradient] of Object.entries(gradients)) this.check(`attention gradient ${name}`, gradient)
        return gradients
      },
    }
  }

  private check(what: string, operand: Operand | undefined): void {
    if (!this.recording || !operand || !isFloat(operand.dtype)) return
    const { inner } = this
    const { shape } = operand
    const flags = this.temporary(shape, operand)
    const all = this.temporary(
      shape.map(() => 1),
      operand,
    )
    inner.elementwise(IS_FINITE, shape, [operand], [], [flags])
    inner.reduce('min', flags, all, false)
    const label = `the result of ${what} [${shape.join(', ')}] ${this.where()}`
    const read = inner.read(all.storage, 0, all.storage.bytes)
    for (const { storage } of [flags, all]) inner.free(storage.handle)
    this.checks.push(read.then(bytes => (bytes.some(byte => byte !== 0) ? undefined : label)))
  }

  private temporary(shape: readonly number[], like: Operand): Operand & { storage: StorageRef } {
    const size = shape.reduce((a, b) => a * b, 1)
    const bytes = size * (like.dtype === 'f64' ? 8 : 4)
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1))
    const storage = { handle: this.inner.alloc(bytes), bytes }
    return { storage, byteOffset: 0, shape, strides, dtype: like.dtype }
  }
}
