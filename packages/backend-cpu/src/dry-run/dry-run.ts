// A CPU device that computes nothing and holds no data: the same TypeScript runs, and what it would allocate and compute is
// written down. For predicting what a model needs on a machine that need not have it.

import { type AttentionKernel, type Device, type Operand, openDevice } from '@ditkit/core'
import { cpuFlash } from '../attention-kernel'
import { CpuBackend } from '../backend'
import type { Completed, NativeAddon, NativeDevice } from '../native'
import { MemoryLedger } from './ledger'
import { attentionOperations, bytesOf, OPERATIONS, type Primitives } from './work'

/** What the calls of one kind, in one phase, come to. */
export interface Work {
  /** The phase, and the primitive or 'attention'. */
  readonly phase: string
  readonly kind: string
  readonly calls: number
  readonly operations: number
  /** Bytes read and written when each operand passes through memory once. */
  readonly bytes: number
}

export interface DryRun {
  readonly device: Device
  readonly ledger: MemoryLedger
  /** What was computed so far. */
  work(): Work[]
}

/**
 * Opens such a device. Reads give zeros. Set `ledger.phase` to tell parts of a run apart. Memory that native code takes for itself
 * during a call (packed operands, partial sums; some megabytes per thread) is not in the ledger: `workspaceBytes` stays 0.
 */
export async function cpuDryRun(): Promise<DryRun> {
  const ledger = new MemoryLedger()
  const work = new Map<string, Work>()
  const note: Note = (kind, operations, bytes) => {
    const { phase } = ledger
    const key = `${phase}/${kind}`
    const before = work.get(key) ?? { phase, kind, calls: 0, operations: 0, bytes: 0 }
    work.set(key, {
      ...before,
      calls: before.calls + 1,
      operations: before.operations + operations,
      bytes: before.bytes + bytes,
    })
  }
  const backend = new CpuBackend(addonOver(ledger), {
    threads: 1,
    isa: 'none',
    memoryLimit: Number.POSITIVE_INFINITY,
    description: 'dry run: nothing is computed',
    attentionKernels: [counted(cpuFlash(), note)],
  })
  countPrimitives(backend, ledger, note)
  return { device: await openDevice(backend), ledger, work: () => [...work.values()] }
}

type Note = (kind: string, operations: number, bytes: number) => void

function countPrimitives(backend: CpuBackend, ledger: MemoryLedger, note: Note): void {
  const primitives = backend as unknown as Record<string, ((...args: unknown[]) => void) | undefined>
  for (const [name, operations] of Object.entries(OPERATIONS) as [keyof Primitives, (...args: unknown[]) => number][]) {
    const original = primitives[name]
    if (!original) continue
    primitives[name] = (...args) => {
      note(name, operations(...args), bytesOf(args))
      if (name === 'random') ledger.at((args[0] as Operand).storage.handle, name).drawn = true
      if (name === 'adamw') nameStates(ledger, args[0] as Parameters<Primitives['adamw']>[0])
      original.apply(backend, args)
    }
  }
}

/** The optimizer's own call says what its operands are. */
function nameStates(ledger: MemoryLedger, tensors: Parameters<Primitives['adamw']>[0]): void {
  for (const { parameter, gradient, firstMoment, secondMoment, average } of tensors) {
    ledger.assign(parameter.storage.handle, 'weights')
    ledger.assign(gradient.storage.handle, 'gradients')
    ledger.assign(firstMoment.storage.handle, 'optimizer state')
    ledger.assign(secondMoment.storage.handle, 'optimizer state')
    if (average) ledger.assign(average.storage.handle, 'averaged weights')
  }
}

function counted(kernel: AttentionKernel, note: Note): AttentionKernel {
  return {
    ...kernel,
    forward(problem, operands, context) {
      const result = kernel.forward(problem, operands, context)
      note('attention', attentionOperations(problem, pairs(problem, operands), false), bytesOf([operands, result]))
      return result
    },
    backward(problem, operands, saved, dOut, context) {
      const gradients = kernel.backward(problem, operands, saved, dOut, context)
      const bytes = bytesOf([operands, saved, dOut, gradients])
      note('attention', attentionOperations(problem, pairs(problem, operands), true), bytes)
      return gradients
    },
  }
}

/** Pairs of query and key, of one head. What masks and lengths leave out is on the device, and counts. */
function pairs(
  { batch, queryTokens, keyTokens }: Parameters<AttentionKernel['forward']>[0],
  { host, queryOffsets }: Parameters<AttentionKernel['forward']>[1],
): number {
  if (!queryOffsets) return batch * queryTokens * keyTokens
  const offsets = host?.offsets
  if (!offsets) return queryTokens * keyTokens
  const { query, key } = offsets
  return Array.from({ length: batch }, (_, s) => (query[s + 1] - query[s]) * (key[s + 1] - key[s])).reduce(
    (a, b) => a + b,
    0,
  )
}

function addonOver(ledger: MemoryLedger): NativeAddon {
  return {
    createDevice: (_threads, _isa, _limit, complete) => new DryDevice(ledger, complete),
    describe: () => [],
    fmaPeak: () => 0,
    bf16Instruction: () => 'none is executed',
  }
}

class DryDevice implements NativeDevice {
  readonly commands = new Float64Array(65_536)
  private programs = 0

  constructor(
    private readonly ledger: MemoryLedger,
    private readonly complete: Completed,
  ) {}

  submit(): void {}

  alloc(bytes: number): number {
    return this.ledger.alloc(bytes)
  }

  free(handle: number): void {
    this.ledger.free(handle)
  }

  write(handle: number): void {
    this.ledger.at(handle, 'write').drawn = true
  }

  read(_handle: number, _offset: number, bytes: number, id: number): void {
    queueMicrotask(() => this.complete(id, new ArrayBuffer(bytes), undefined))
  }

  sync(id: number): void {
    queueMicrotask(() => this.complete(id, undefined, undefined))
  }

  program(): number {
    return this.programs++
  }

  memory(): [live: number, peak: number, cached: number, workspace: number] {
    const { liveBytes, peakBytes, cachedBytes } = this.ledger
    return [liveBytes, peakBytes, cachedBytes, 0]
  }

  trim(): void {
    this.ledger.trim()
  }

  dispose(): void {}
}
