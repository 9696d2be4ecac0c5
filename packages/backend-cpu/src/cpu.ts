// Makes the CPU device, or says why there is none.

import os from 'node:os'
import { type Backend, type Device, openDevice } from '@ditkit/core'
import { cpuFlash } from './attention-kernel'
import { CpuBackend } from './backend'
import { loadAddon } from './native'

export interface CpuOptions {
  /** Threads that compute, in all; default: as many as the machine runs in parallel. Results do not depend on it. */
  threads?: number
  /** Instruction set of the kernels; default: `DITKIT_ISA`, else the best this machine has. Results differ in rounding between sets. */
  isa?: 'baseline' | 'avx2' | 'avx512' | 'avx512bf16' | 'amx' | 'neon'
  /** Bytes of tensor memory, cache included; default: 90 % of what the machine or its container has. */
  memoryLimit?: number
  /** Attention kernels to try before this package's own. */
  attention?: Backend['attentionKernels']
}

/** Bytes of memory that this process may use: the container's limit where there is one. */
export function memoryOfProcess(): number {
  const total = os.totalmem()
  const constrained = process.constrainedMemory?.() ?? 0
  return constrained > 0 && constrained < total ? constrained : total
}

/** On arm64 the baseline is NEON. */
export function isaName(isa: string): string {
  return process.arch === 'arm64' && isa === 'baseline' ? 'neon' : isa
}

/** What the addon calls it. */
function addonIsaName(isa: string): string {
  return isa === 'neon' ? 'baseline' : isa
}

/**
 * GFLOP/s (10⁹ f32 operations per second, a multiply-add being two) that `threads` threads reach together in registers: what a matrix
 * product's speed is a share of. Blocks for about 40 ms. Throws where the addon or the instruction set is missing.
 */
export function fmaPeak(threads: number, isa: string): number {
  return loadAddon().fmaPeak(threads, addonIsaName(isa))
}

/** The CPU as a device. Throws an Error with the reason and what to install where the native addon cannot be used. */
export async function cpu(options: CpuOptions = {}): Promise<Device> {
  const addon = loadAddon()
  const available = addon.describe().map(isaName)
  const isa = options.isa ?? (process.env.DITKIT_ISA || available[available.length - 1])
  if (!available.includes(isa)) {
    throw new Error(`cpu: this machine has no instruction set '${isa}' (it has ${available.join(', ')})`)
  }
  const threads = options.threads ?? Math.min(256, os.availableParallelism())
  if (!Number.isInteger(threads) || threads < 1 || threads > 256) {
    throw new RangeError(`cpu: threads is ${threads} (expected a whole number from 1 to 256)`)
  }
  const memoryLimit = options.memoryLimit ?? Math.floor(memoryOfProcess() * 0.9)
  if (!(memoryLimit > 0)) throw new RangeError(`cpu: memoryLimit is ${memoryLimit} (expected a number of bytes)`)
  const model = os.cpus()[0]?.model.trim() || process.arch
  const backend = new CpuBackend(addon, {
    threads,
    isa: addonIsaName(isa),
    memoryLimit,
    description: `${model}, ${isa}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    attentionKernels: [...(options.attention ?? []), cpuFlash()],
  })
  return openDevice(backend)
}
