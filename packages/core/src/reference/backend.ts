// The reference backend: every required primitive in plain TypeScript, readable, slow and right. Arithmetic is in
// float64 and rounded once, where a primitive stores; other backends are measured against it. It has no fused primitives,
// so that what core composes instead is what gets tested.

import type {
  Backend,
  BackendMemory,
  BufferHandle,
  CallSite,
  MatmulEpilogue,
  Operand,
  RandomKind,
  ReduceKind,
  StorageRef,
} from '../backend'
import type { DType, FloatDType } from '../dtype'
import type { Program } from '../program'
import { fillNormals, fillWords, wordToUniform } from '../random/philox'
import { sameShape, showShape, sizeOf } from '../shape'
import { elementwise } from './elementwise'
import { Faults } from './faults'
import { gather, scatterAdd } from './index-ops'
import { matmul } from './matmul'
import { ReferenceMemory } from './memory'
import { farthestPoints, nearestPoints } from './points'
import { argmax, reduce } from './reduce'
import { load, store } from './view'

export interface ReferenceOptions {
  /** What float tensors hold unless they say otherwise; 'f32' by default. */
  dtype?: 'f32' | 'f64'
  /** Attention kernels to try before core's own, best first. */
  attention?: Backend['attentionKernels']
}

class ReferenceBackend implements Backend {
  readonly name = 'reference'
  readonly description: string
  readonly dtypes: readonly DType[]
  readonly computeDtypes = { bf16: {} }
  private readonly buffers = new ReferenceMemory()
  private readonly faults = new Faults()

  constructor(
    float: FloatDType,
    readonly attentionKernels: Backend['attentionKernels'],
  ) {
    this.description = `plain TypeScript, ${float}, one thread; for tests and small samples`
    this.dtypes = float === 'f64' ? ['f64', 'f32', 'i32', 'bool'] : ['f32', 'f64', 'i32', 'bool']
  }

  alloc(bytes: number): BufferHandle {
    return this.buffers.alloc(bytes)
  }

  free(handle: BufferHandle): void {
    this.buffers.free(handle)
  }

  write(storage: StorageRef, byteOffset: number, data: Uint8Array): void {
    this.buffers.bytes(storage, byteOffset, data.length).set(data)
  }

  async read(storage: StorageRef, byteOffset: number, bytes: number): Promise<Uint8Array> {
    const copy = this.buffers.bytes(storage, byteOffset, bytes).slice()
    this.faults.raise()
    return copy
  }

  async sync(): Promise<void> {
    this.buffers.checkAlive()
    this.faults.raise()
  }

  memory(): BackendMemory {
    return this.buffers.report()
  }

  trim(): void {
    this.buffers.checkAlive()
  }

  dispose(): void {
    this.buffers.dispose()
  }

  copy(src: Operand, dst: Operand): void {
    if (!sameShape(src.shape, dst.shape)) {
      throw new RangeError(`reference copy: src has shape ${showShape(src.shape)} but dst ${showShape(dst.shape)}`)
    }
    store(this.buffers.view(dst), load(this.buffers.view(src)))
  }

  fill(dst: Operand, value: number): void {
    store(this.buffers.view(dst), new Float64Array(sizeOf(dst.shape)).fill(value))
  }

  iota(dst: Operand, start: number, step: number): void {
    store(
      this.buffers.view(dst),
      Float64Array.from({ length: sizeOf(dst.shape) }, (_, k) => start + k * step),
    )
  }

  random(dst: Operand, key: Operand, kind: RandomKind): void {
    if (kind === 'bits' && dst.dtype !== 'i32')
      throw new TypeError(`reference random: bits are i32, dst is ${dst.dtype}`)
    const [low, high] = load(this.buffers.view(key))
    const count = sizeOf(dst.shape)
    const view = this.buffers.view(dst)
    if (kind === 'normal') store(view, fillNormals(low, high, count))
    else if (kind === 'uniform') store(view, Float64Array.from(fillWords(low, high, count), wordToUniform))
    else store(view, Int32Array.from(fillWords(low, high, count)))
  }

  elementwise(
    program: Program,
    shape: readonly number[],
    inputs: readonly Operand[],
    scalars: readonly number[],
    outputs: readonly Operand[],
  ): void {
    const counts = [inputs.length, scalars.length, outputs.length]
    const expected = [program.inputs, program.scalars, program.outputs.length]
    if (!sameShape(counts, expected)) {
      throw new RangeError(`program ${program.name}: got ${counts} inputs, scalars and outputs, expected ${expected}`)
    }
    elementwise(
      program,
      shape,
      inputs.map(operand => this.buffers.view(operand)),
      scalars,
      outputs.map(operand => this.buffers.view(operand)),
    )
  }

  reduce(kind: ReduceKind, src: Operand, dst: Operand, accumulate: boolean): void {
    reduce(kind, this.buffers.view(src), this.buffers.view(dst), accumulate)
  }

  argmax(src: Operand, dst: Operand): void {
    argmax(this.buffers.view(src), this.buffers.view(dst))
  }

  matmul(a: Operand, b: Operand, out: Operand, epilogue: MatmulEpilogue = {}): void {
    const view = (operand: Operand | undefined) => operand && this.buffers.view(operand)
    matmul(this.buffers.view(a), this.buffers.view(b), this.buffers.view(out), {
      ...epilogue,
      bias: view(epilogue.bias),
      preActivation: view(epilogue.preActivation),
      slope: view(epilogue.slope),
      gate: view(epilogue.gate),
      residual: view(epilogue.residual),
    })
  }

  gather(table: Operand, index: Operand, dst: Operand, site: CallSite): void {
    gather(this.buffers.view(table), this.buffers.view(index), this.buffers.view(dst), message =>
      this.faults.report(site, message),
    )
  }

  scatterAdd(dst: Operand, index: Operand, src: Operand, site: CallSite): void {
    scatterAdd(this.buffers.view(dst), this.buffers.view(index), this.buffers.view(src), message =>
      this.faults.report(site, message),
    )
  }

  check(condition: Operand, site: CallSite, message: string): void {
    if (load(this.buffers.view(condition)).includes(0)) this.faults.report(site, message)
  }

  farthestPoints(points: Operand, mask: Operand, indices: Operand, valid: Operand): void {
    const view = (operand: Operand) => this.buffers.view(operand)
    farthestPoints(view(points), view(mask), view(indices), view(valid))
  }

  nearestPoints(
    queries: Operand,
    points: Operand,
    queryMask: Operand,
    mask: Operand,
    maxSquaredDistance: number,
    indices: Operand,
    squaredDistances: Operand,
    valid: Operand,
  ): void {
    const view = (operand: Operand) => this.buffers.view(operand)
    const results = [view(indices), view(squaredDistances), view(valid)] as const
    nearestPoints(view(queries), view(points), view(queryMask), view(mask), maxSquaredDistance, ...results)
  }
}

/** A reference backend, ready to use. Throws a RangeError for an unknown dtype. */
export function referenceBackend(options: ReferenceOptions = {}): Backend {
  const { dtype = 'f32', attention = [] } = options
  if (dtype !== 'f32' && dtype !== 'f64') throw new RangeError(`reference: dtype is ${dtype}, expected 'f32' or 'f64'`)
  return new ReferenceBackend(dtype, attention)
}
