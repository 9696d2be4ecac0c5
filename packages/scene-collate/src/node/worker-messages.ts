// What a loader's thread and its workers say to each other.

import type { BatchJob, LoadedBatch } from '../loader/dataset'
import { SceneError } from '../scene-error'

/** Given to a worker when it starts. */
export interface WorkerStart {
  /** URL of the module with the dataset. */
  readonly module: string
  /** For the module's function. */
  readonly data: unknown
  /** Where the worker writes which scene it is reading: length in bytes, then UTF-8. Read after it has died. */
  readonly slate: SharedArrayBuffer
}

export interface WorkerJob {
  readonly id: number
  readonly job: BatchJob
  /** Memory to use again, when this batch's will be. */
  readonly spare?: readonly ArrayBuffer[]
}

export type WorkerReply =
  | { readonly kind: 'ready'; readonly length: number; readonly lengths?: ArrayLike<number> }
  | { readonly kind: 'failed'; readonly failure: Failure }
  | { readonly kind: 'loaded'; readonly id: number; readonly loaded: LoadedBatch }
  | { readonly kind: 'refused'; readonly id: number; readonly failure: Failure }

/** An error on its way between threads, which would lose its class. */
export interface Failure {
  readonly message: string
  readonly stack?: string
  readonly scene?: { readonly label: string; readonly field?: string; readonly detail: string }
}

export function failureOf(error: unknown): Failure {
  if (error instanceof SceneError) {
    const { message, stack, scene: label, field, detail } = error
    return { message, stack, scene: { label, field, detail } }
  }
  return error instanceof Error ? { message: error.message, stack: error.stack } : { message: String(error) }
}

/** The error again; its cause shows where in the worker it was. */
export function errorOf({ message, stack, scene }: Failure): Error {
  const cause = stack === undefined ? undefined : { cause: `in a worker: ${stack}` }
  return scene ? new SceneError(scene.label, scene.field, scene.detail, cause) : new Error(message, cause)
}

const SLATE_BYTES = 512

export function makeSlate(): SharedArrayBuffer {
  return new SharedArrayBuffer(SLATE_BYTES)
}

export function writeSlate(slate: SharedArrayBuffer, text: string): void {
  const bytes = new TextEncoder().encode(text).subarray(0, SLATE_BYTES - 4)
  new Uint8Array(slate, 4).set(bytes)
  Atomics.store(new Int32Array(slate, 0, 1), 0, bytes.length)
}

export function readSlate(slate: SharedArrayBuffer): string {
  const length = Atomics.load(new Int32Array(slate, 0, 1), 0)
  return new TextDecoder().decode(new Uint8Array(slate, 4, length).slice())
}
