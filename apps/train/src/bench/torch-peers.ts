// PyTorch as a peer: one Python for the current release, and one for a PyTorch that multiplies with OpenBLAS (Debian's).

import { join } from 'node:path'
import { UserError } from '../errors'
import { peerFolder } from '../package-files'
import { type PeerCommand, PeerProcess } from './peer-process'
import { repeatsOf } from './problem'
import { median } from './subject'

/** Core types that OpenBLAS is tried with, as its own choice need not be its fastest. */
const CORE_TYPES = ['SAPPHIRERAPIDS', 'COOPERLAKE', 'SKYLAKEX', 'HASWELL', 'ZEN']
const TRIAL = { kind: 'gemm', m: 2048, n: 1152, k: 384 } as const
const TRIAL_RUNS = 5

/** OpenBLAS is left to choose its kernels unless a core type is given: settings of the caller's shell pin it to slow ones. */
export function torchCommand(python: string, threads: number, option: string, coreType?: string): PeerCommand {
  const { OPENBLAS_CORETYPE, OPENBLAS_L2_SIZE, ...env } = process.env
  return {
    label: 'PyTorch',
    command: python,
    args: [join(peerFolder, 'torch_peer.py')],
    env: {
      ...env,
      // OpenBLAS reads its number of threads when it is loaded.
      OPENBLAS_NUM_THREADS: String(threads),
      OMP_NUM_THREADS: String(threads),
      ...(coreType && { OPENBLAS_CORETYPE: coreType }),
    },
    wayOut: `say ${option} PATH of one that can import torch`,
  }
}

/** The core type with which this PyTorch's OpenBLAS multiplies fastest. */
export async function bestCoreType(python: string, threads: number, option: string): Promise<string> {
  const found: { coreType: string; seconds: number }[] = []
  let failure: unknown
  for (const coreType of CORE_TYPES) {
    const peer = new PeerProcess(torchCommand(python, threads, option, coreType))
    try {
      const subject = await peer.make(TRIAL, threads, repeatsOf(TRIAL))
      await subject.run()
      const seconds: number[] = []
      for (let i = 0; i < TRIAL_RUNS; i++) seconds.push(await subject.run())
      found.push({ coreType, seconds: median(seconds) })
    } catch (error) {
      failure = error
      // Without PyTorch no core type helps.
      if (!peer.alive && found.length === 0) throw error
    } finally {
      peer.close()
    }
  }
  if (found.length === 0) throw failure ?? new UserError('OpenBLAS ran with none of the core types')
  return found.reduce((best, each) => (each.seconds < best.seconds ? each : best)).coreType
}
