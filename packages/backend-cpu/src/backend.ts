// The CPU device: core's Backend over the native addon. Each primitive writes a few numbers and returns; a native thread
// computes. It is *not* responsible for checks of shapes and dtypes: core names what is wrong, native code stays safe.

import {
  type AdamWTensors,
  type Backend,
  type BackendMemory,
  type CallSite,
  type MatmulEpilogue,
  OPCODES,
  type Operand,
  type Program,
  type RandomKind,
  type ReduceKind,
  type StorageRef,
} from '@ditkit/core'
import { Commands } from './commands'
import { faultError } from './faults'
import type { NativeAddon, NativeDevice } from './native'
import { ACTIVATION, COMPUTE, OPCODE, RANDOM_KIND, REDUCE_KIND } from './opcodes'
import { Sites } from './sites'

interface Waiting {
  resolve(buffer: ArrayBuffer | undefined): void
  reject(error: Error): void
  /** Sites below it are of calls before this read or sync, which reports what was wrong with them. */
  readonly sitesEnd: number
}

export interface CpuBackendOptions {
  readonly threads: number
  readonly isa: string
  readonly memoryLimit: number
  readonly description: string
  readonly attentionKernels: Backend['attentionKernels']
}

export class CpuBackend implements Backend {
  readonly name = 'cpu'
  readonly description: string
  readonly dtypes = ['f32', 'i32', 'bool'] as const
  readonly computeDtypes: Backend['computeDtypes']
  readonly attentionKernels: Backend['attentionKernels']
  /** For attention kernels of this package: commands of the same queue. */
  readonly commands: Commands
  private readonly native: NativeDevice
  private readonly waiting: Map<number, Waiting>
  private readonly sites: Sites
  private readonly programs = new Map<string, number>()
  private nextRead = 0
  private disposed = false

  constructor(addon: NativeAddon, options: CpuBackendOptions) {
    this.description = options.description
    this.computeDtypes = { bf16: { instruction: addon.bf16Instruction(options.isa) } }
    this.attentionKernels = options.attentionKernels
    // The callback must not hold the backend, or a device nobody uses could not be collected.
    const waiting = new Map<number, Waiting>()
    const sites = new Sites()
    this.waiting = waiting
    this.sites = sites
    this.native = addon.createDevice(options.threads, options.isa, options.memoryLimit, (id, buffer, fault) => {
      const entry = waiting.get(id)
      waiting.delete(id)
      if (!entry) return
      if (fault) entry.reject(faultError(fault, sites))
      else entry.resolve(buffer)
      sites.forget(entry.sitesEnd)
    })
    this.commands = new Commands(this.native)
  }

  alloc(bytes: number): number {
    return this.native.alloc(bytes)
  }

  free(handle: unknown): void {
    // After dispose() all memory is gone already; handles freed late, by the garbage collector, are no error.
    if (!this.disposed) this.native.free(handle as number)
  }

  write(storage: StorageRef, byteOffset: number, data: Uint8Array): void {
    this.native.write(storage.handle as number, byteOffset, data)
  }

  async read(storage: StorageRef, byteOffset: number, bytes: number): Promise<Uint8Array> {
    const buffer = await this.wait(id => this.native.read(storage.handle as number, byteOffset, bytes, id))
    return new Uint8Array(buffer!)
  }

  async sync(): Promise<void> {
    await this.wait(id => this.native.sync(id))
  }

  private wait(start: (id: number) => void): Promise<ArrayBuffer | undefined> {
    return new Promise((resolve, reject) => {
      const id = this.nextRead++
      start(id)
      this.waiting.set(id, { resolve, reject, sitesEnd: this.sites.end })
    })
  }

  memory(): BackendMemory {
    const [liveBytes, peakBytes, cachedBytes, workspaceBytes] = this.native.memory()
    return { liveBytes, peakBytes, cachedBytes, workspaceBytes }
  }

  trim(): void {
    this.native.trim()
  }

  /** Queued work is dropped; reads and syncs under way reject. */
  dispose(): void {
    if (this.disposed) return
    this.disposed = true
    this.native.dispose()
    for (const { reject } of this.waiting.values()) reject(new Error('cpu: the device was disposed'))
    this.waiting.clear()
  }

  copy(src: Operand, dst: Operand): void {
    this.commands.begin(OPCODE.copy).operand(src).operand(dst).submit()
  }

  fill(dst: Operand, value: number): void {
    this.commands.begin(OPCODE.fill).operand(dst).number(value).submit()
  }

  iota(dst: Operand, start: number, step: number): void {
    this.commands.begin(OPCODE.iota).operand(dst).number(start).number(step).submit()
  }

  random(dst: Operand, key: Operand, kind: RandomKind): void {
    this.commands.begin(OPCODE.random).number(RANDOM_KIND[kind]).operand(dst).operand(key).submit()
  }

  elementwise(
    program: Program,
    shape: readonly number[],
    inputs: readonly Operand[],
    scalars: readonly number[],
    outputs: readonly Operand[],
  ): void {
    const { commands } = this
    commands.begin(OPCODE.elementwise).number(this.programs.get(program.key) ?? this.compile(program))
    commands.number(shape.length)
    for (let i = 0; i < shape.length; i++) commands.number(shape[i])
    for (let i = 0; i < inputs.length; i++) commands.operand(inputs[i])
    for (let i = 0; i < scalars.length; i++) commands.number(scalars[i])
    for (let i = 0; i < outputs.length; i++) commands.operand(outputs[i])
    commands.submit()
  }

  private compile(program: Program): number {
    const { inputs, scalars, instructions, outputs } = program
    const numbers = [inputs, scalars, instructions.length, outputs.length]
    for (const { code, args } of instructions) numbers.push(OPCODES.indexOf(code), ...args)
    const id = this.native.program(Float64Array.from([...numbers, ...outputs]))
    this.programs.set(program.key, id)
    return id
  }

  reduce(kind: ReduceKind, src: Operand, dst: Operand, accumulate: boolean): void {
    this.commands.begin(OPCODE.reduce).number(REDUCE_KIND[kind]).operand(src).operand(dst).flag(accumulate).submit()
  }

  argmax(src: Operand, dst: Operand): void {
    this.commands.begin(OPCODE.argmax).operand(src).operand(dst).submit()
  }

  matmul(a: Operand, b: Operand, out: Operand, epilogue: MatmulEpilogue = {}): void {
    const { computeDtype = 'f32', bias, activation = 'none', preActivation, slope, gate, residual } = epilogue
    const { alpha = 1, accumulate } = epilogue
    this.commands
      .begin(OPCODE.matmul)
      .operand(a)
      .operand(b)
      .operand(out)
      .optional(bias)
      .number(ACTIVATION[activation])
      .optional(preActivation)
      .optional(slope)
      .optional(gate)
      .optional(residual)
      .number(alpha)
      .flag(accumulate)
      .number(COMPUTE[computeDtype] ?? Number.NaN)
      .submit()
  }

  gather(table: Operand, index: Operand, dst: Operand, site: CallSite): void {
    const number = this.sites.numberOf(site)
    this.commands.begin(OPCODE.gather).operand(table).operand(index).operand(dst).number(number).submit()
  }

  scatterAdd(dst: Operand, index: Operand, src: Operand, site: CallSite): void {
    const number = this.sites.numberOf(site)
    this.commands.begin(OPCODE.scatterAdd).operand(dst).operand(index).operand(src).number(number).submit()
  }

  check(condition: Operand, site: CallSite, message: string): void {
    const number = this.sites.numberOf(site, message)
    this.commands.begin(OPCODE.check).operand(condition).number(number).submit()
  }

  farthestPoints(points: Operand, mask: Operand, indices: Operand, valid: Operand): void {
    const { commands } = this
    commands.begin(OPCODE.farthestPoints).operand(points).operand(mask).operand(indices).operand(valid).submit()
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
    const { commands } = this
    commands.begin(OPCODE.nearestPoints).operand(queries).operand(points).operand(queryMask).operand(mask)
    commands.number(maxSquaredDistance).operand(indices).operand(squaredDistances).operand(valid).submit()
  }

  layerNorm(
    x: Operand,
    shift: Operand | undefined,
    scale: Operand | undefined,
    eps: number,
    out: Operand,
    mean: Operand,
    rstd: Operand,
  ): void {
    const { commands } = this
    commands.begin(OPCODE.layerNorm).operand(x).optional(shift).optional(scale).number(eps)
    commands.operand(out).operand(mean).operand(rstd).submit()
  }

  layerNormBackward(
    x: Operand,
    scale: Operand | undefined,
    mean: Operand,
    rstd: Operand,
    dOut: Operand,
    dx: Operand | undefined,
    dShift: Operand | undefined,
    dScale: Operand | undefined,
    options: { readonly residual?: Operand; readonly accumulate?: boolean } = {},
  ): void {
    const { commands } = this
    commands.begin(OPCODE.layerNormBackward).operand(x).optional(scale).operand(mean).operand(rstd).operand(dOut)
    commands.optional(dx).optional(dShift).optional(dScale)
    commands.optional(options.residual).flag(options.accumulate).submit()
  }

  gatedResidualBackward(
    y: Operand,
    gate: Operand,
    dOut: Operand,
    dy: Operand | undefined,
    dGate: Operand | undefined,
    dBias: Operand | undefined,
    options: { readonly accumulate?: boolean } = {},
  ): void {
    const { commands } = this
    commands.begin(OPCODE.gatedResidualBackward).operand(y).operand(gate).operand(dOut)
    commands.optional(dy).optional(dGate).optional(dBias).flag(options.accumulate).submit()
  }

  adamw(tensors: readonly AdamWTensors[], scalars: Operand, maxNorm: number, norm: Operand): void {
    const { commands } = this
    commands.begin(OPCODE.adamw).operand(scalars).number(maxNorm).operand(norm).number(tensors.length)
    for (const { parameter, gradient, firstMoment, secondMoment, average, decayScale, lrScale } of tensors) {
      commands.number(parameter.shape.reduce((count, n) => count * n, 1))
      commands
        .span(parameter)
        .span(gradient)
        .span(firstMoment)
        .span(secondMoment)
        .flag(average !== undefined)
      if (average) commands.span(average)
      commands.number(decayScale).number(lrScale)
    }
    commands.submit()
  }
}
