// PyTorch as a peer: a Python process that runs one case each time a line is sent to it.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { UserError } from '../errors'
import { peerFolder } from '../package-files'
import type { Subject } from './subject'

/** Starts Python and makes it build a case, e.g. { case: 'gemm', m, n, k }. Throws with the reason when it cannot. */
export async function torchPeer(python: string, threads: number, problem: Record<string, unknown>): Promise<Subject> {
  // These pin OpenBLAS to a slow kernel where they are set.
  const { OPENBLAS_CORETYPE, OPENBLAS_L2_SIZE, ...env } = process.env
  const child = spawn(python, [join(peerFolder, 'torch_peer.py')], { stdio: ['pipe', 'pipe', 'pipe'], env })
  let complaint = ''
  child.stderr.on('data', chunk => {
    complaint = `${complaint}${chunk}`.slice(-2000)
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  let failed: Error | undefined
  child.on('error', error => {
    failed = error
  })
  const ask = async (message: unknown): Promise<Record<string, unknown>> => {
    child.stdin.write(`${JSON.stringify(message)}\n`)
    const { value, done } = await lines.next()
    if (done) {
      const reason = failed?.message ?? complaint.trim().split('\n').at(-1) ?? 'it ended'
      throw new UserError(
        `--peer torch: ${python} cannot run PyTorch: ${reason}; say --python PATH of one that can import torch`,
      )
    }
    return JSON.parse(value)
  }
  child.stdin.on('error', () => {})
  const { name } = await ask({ threads, ...problem })
  return {
    name: String(name),
    run: async () => Number((await ask({ run: true })).seconds),
    close: async () => {
      child.stdin.end()
      child.kill()
    },
  }
}
