// One worker thread, as its owner sees it. It keeps the process alive only while it has something to do.

import { Worker } from 'node:worker_threads'
import type { BatchJob, LoadedBatch } from '../loader/dataset'
import { SceneError } from '../scene-error'
import { errorOf, makeSlate, readSlate, type WorkerJob, type WorkerReply, type WorkerStart } from './worker-messages'

interface Waiting {
  resolve(loaded: LoadedBatch): void
  reject(error: Error): void
}

interface DatasetInfo {
  readonly length: number
  readonly lengths?: ArrayLike<number>
}

export class LoaderWorker {
  /** Rejects when the module has no dataset. */
  readonly ready: Promise<DatasetInfo>
  private readonly worker: Worker
  private readonly slate = makeSlate()
  private readonly waiting = new Map<number, Waiting>()
  private nextId = 0
  /** Why nothing can be asked of it any more. */
  private ended: Error | undefined

  constructor(program: URL, module: string, data: unknown) {
    const workerData: WorkerStart = { module, data, slate: this.slate }
    this.worker = new Worker(program, { workerData })
    this.ready = new Promise((resolve, reject) => {
      this.worker.on('message', (reply: WorkerReply) => {
        if (reply.kind === 'ready') resolve(reply)
        else if (reply.kind === 'failed') reject(errorOf(reply.failure))
        else this.settle(reply)
      })
      this.worker.on('error', error => {
        this.end(this.death(`died: ${error.message}`, error))
        reject(this.ended)
      })
      this.worker.on('exit', code => {
        this.end(this.death(`ended with exit code ${code}`))
        reject(this.ended)
      })
    })
    // Whoever started it awaits `ready`, perhaps after another worker has failed already.
    this.ready.then(() => this.worker.unref()).catch(() => {})
  }

  /** Jobs that are not answered yet. */
  get pending(): number {
    return this.waiting.size
  }

  load(job: BatchJob, spare?: readonly ArrayBuffer[]): Promise<LoadedBatch> {
    if (this.ended) return Promise.reject(this.ended)
    const id = this.nextId++
    this.worker.ref()
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject })
      // A part of an array would take the whole of it along.
      const message: WorkerJob = { id, job: { ...job, indices: job.indices.slice() }, spare }
      this.worker.postMessage(message, spare ?? [])
    })
  }

  async close(): Promise<void> {
    this.end(new Error('DataLoader: it was closed'))
    await this.worker.terminate()
  }

  private settle(reply: Extract<WorkerReply, { id: number }>): void {
    const waiting = this.waiting.get(reply.id)
    this.waiting.delete(reply.id)
    if (this.waiting.size === 0) this.worker.unref()
    if (reply.kind === 'loaded') waiting?.resolve(reply.loaded)
    else waiting?.reject(errorOf(reply.failure))
  }

  private death(how: string, cause?: Error): Error {
    const scene = readSlate(this.slate)
    if (scene === '') return new Error(`DataLoader: a worker ${how}`, { cause })
    return new SceneError(scene, undefined, `the worker that was reading it ${how}`, { cause })
  }

  private end(error: Error): void {
    this.ended ??= error
    for (const { reject } of this.waiting.values()) reject(this.ended)
    this.waiting.clear()
  }
}
