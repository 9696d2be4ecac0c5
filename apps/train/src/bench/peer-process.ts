// A peer's process: it is sent one line of JSON and answers with one, strictly in turns. It holds any number of problems
// under numbers, so that one start serves a whole table.
//
//   { make: 3, problem, threads, repeats }  →  { name }, or { cannot: why } for what the peer cannot express
//   { run: 3 }                              →  { seconds } of one repeat
//   { accuracy: 3 }                         →  { accuracy }, or {} where it is not defined
//   { memory: 3 }                           →  { bytes }, or {}
//   { drop: 3 }                             →  {}
//
// Any answer may be { error: message } instead, and with `ends: true` be the process's last. Lines that are no JSON objects are
// a library's chatter and are passed over.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { UserError } from '../errors'
import type { Subject } from './subject'

/** What a peer cannot express; not a failure. */
export class CannotExpress extends UserError {}

export interface PeerCommand {
  /** For messages: 'PyTorch'. */
  readonly label: string
  readonly command: string
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** What to do when it does not start. */
  readonly wayOut: string
}

/** torch.compile takes minutes on a busy machine; nothing takes longer than this. */
const TIMEOUT_MS = 600_000

export class PeerProcess {
  private readonly child: ChildProcessWithoutNullStreams
  private readonly lines: AsyncIterator<string>
  /** When its last words on stderr have arrived as well. */
  private readonly ended: Promise<void>
  private complaint = ''
  private failure: string | undefined
  private next = 0

  constructor(private readonly peer: PeerCommand) {
    this.child = spawn(peer.command, peer.args, { stdio: ['pipe', 'pipe', 'pipe'], env: peer.env })
    this.child.stderr.on('data', chunk => {
      this.complaint = `${this.complaint}${chunk}`.slice(-4000)
    })
    this.ended = new Promise(resolve => {
      this.child.on('close', () => {
        this.failure ??= this.complaint.trim().split('\n').at(-1) || 'it ended'
        resolve()
      })
      this.child.on('error', error => {
        this.failure = error.message
        resolve()
      })
    })
    this.child.stdin.on('error', () => {})
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]()
  }

  /** False once the process has ended, or is about to. */
  get alive(): boolean {
    return this.failure === undefined
  }

  /** Makes the peer build a problem. Throws CannotExpress with the peer's reason where it has no way to. */
  async make(problem: unknown, threads: number, repeats: number): Promise<Subject> {
    const id = this.next++
    const made = await this.ask({ make: id, problem, threads, repeats })
    if (made.cannot !== undefined) throw new CannotExpress(String(made.cannot))
    return {
      name: String(made.name),
      run: async () => Number((await this.ask({ run: id })).seconds),
      accuracy: async () => optionalNumber((await this.ask({ accuracy: id })).accuracy),
      workingBytes: async () => optionalNumber((await this.ask({ memory: id })).bytes),
      close: async () => {
        if (this.alive) await this.ask({ drop: id })
      },
    }
  }

  private async ask(message: unknown): Promise<Record<string, unknown>> {
    if (this.failure !== undefined) throw this.problem()
    this.child.stdin.write(`${JSON.stringify(message)}\n`)
    const timer = setTimeout(() => {
      this.failure = `no answer within ${TIMEOUT_MS / 1000} s`
      this.child.kill('SIGKILL')
    }, TIMEOUT_MS)
    try {
      for (;;) {
        const { value, done } = await this.lines.next()
        if (done) {
          await this.ended
          throw this.problem()
        }
        const answer = parsed(value)
        if (answer?.ends) this.failure = String(answer.error)
        if (answer?.error !== undefined) throw new UserError(`${this.peer.label}: ${answer.error}`)
        if (answer) return answer
      }
    } finally {
      clearTimeout(timer)
    }
  }

  private problem(): UserError {
    return new UserError(`${this.peer.command} cannot run ${this.peer.label}: ${this.failure}; ${this.peer.wayOut}`)
  }

  close(): void {
    this.failure ??= 'it was closed'
    this.child.stdin.end()
    this.child.kill()
  }
}

function parsed(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

function optionalNumber(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}
