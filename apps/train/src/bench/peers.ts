// The peers of one benchmark run: started when first asked for, kept for the whole table, started again after a crash.

import { UserError } from '../errors'
import type { PeerName } from './experiment'
import { isNpmPeer, npmPeerCommand } from './npm-peers'
import { type PeerCommand, PeerProcess } from './peer-process'
import { type Problem, repeatsOf } from './problem'
import type { Subject } from './subject'
import { bestCoreType, torchCommand } from './torch-peers'

export interface PeerOptions {
  readonly python: string
  readonly pythonOpenblas: string
  /** Default: the fastest of several. */
  readonly openblasCore?: string
  readonly threads: number
}

/** How much slower than native code, so that a run of a peer takes no minutes. */
const SLOWDOWN: Record<PeerName, number> = { torch: 1, 'torch-openblas': 1, tfjs: 10, 'jax-js': 10, onnxruntime: 1 }

export class Peers {
  private readonly running = new Map<string, PeerProcess>()
  private readonly commands = new Map<PeerName, Promise<PeerCommand>>()

  constructor(private readonly options: PeerOptions) {}

  /** The peer's side of a problem. Throws with the reason where it has none: not installed, not expressible, failed. */
  async subject(name: PeerName, problem: Problem, threads: number): Promise<Subject> {
    const command = await this.command(name)
    // A compiler may fail in ways that take its process along, and what else is in it.
    const process = 'compile' in problem && problem.compile ? `${name}, compiled` : name
    let peer = this.running.get(process)
    if (!peer?.alive) {
      peer = new PeerProcess(command)
      this.running.set(process, peer)
    }
    return peer.make(problem, threads, repeatsOf(problem, SLOWDOWN[name]))
  }

  /** Found out once: a peer that is not there is not looked for at every row. */
  private command(name: PeerName): Promise<PeerCommand> {
    let command = this.commands.get(name)
    if (!command) {
      command = this.find(name)
      command.catch(() => {})
      this.commands.set(name, command)
    }
    return command
  }

  private async find(name: PeerName): Promise<PeerCommand> {
    const { python, pythonOpenblas, openblasCore, threads } = this.options
    if (name === 'torch') return torchCommand(python, threads, '--python', openblasCore)
    if (name === 'torch-openblas') {
      const option = '--python-openblas'
      const coreType = openblasCore ?? (await bestCoreType(pythonOpenblas, threads, option))
      return torchCommand(pythonOpenblas, threads, option, coreType)
    }
    if (!isNpmPeer(name)) throw new UserError(`there is no peer ${name}`)
    return npmPeerCommand(name, threads)
  }

  close(): void {
    for (const peer of this.running.values()) peer.close()
  }
}
