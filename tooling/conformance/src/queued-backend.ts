// A backend that queues every primitive of another and runs none before something is read: what a GPU may do at worst. Whoever counts on a
// result, on memory or on an error being there at once is found out on it. The wrapped device's own attention kernels
// submit to that device directly, so they are left out.

import type { Backend, BackendMemory, BufferHandle, Operand, StorageRef } from '@ditkit/core'

/** What the wrapper gives out for memory that is not there yet. */
class PendingBuffer {
  inner: BufferHandle | undefined
  freed = false

  constructor(readonly bytes: number) {}
}

/** Every primitive whose arguments are operands, numbers and plain structures of them. */
const PRIMITIVES = [
  'copy',
  'fill',
  'iota',
  'random',
  'elementwise',
  'reduce',
  'argmax',
  'matmul',
  'gather',
  'scatterAdd',
  'check',
  'farthestPoints',
  'nearestPoints',
  'layerNorm',
  'layerNormBackward',
  'gatedResidualBackward',
  'adamw',
] as const satisfies readonly (keyof Backend)[]

function isOperand(value: object): value is Operand {
  return 'storage' in value && 'byteOffset' in value
}

/** The arguments as they are now: a tensor may be disposed before its work runs. */
function snapshot(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || 'instructions' in value) return value
  if (Array.isArray(value)) return value.map(snapshot)
  if (isOperand(value)) {
    const { storage, byteOffset, shape, strides, dtype } = value
    const pending = live(storage.handle)
    const late = {
      get handle() {
        return pending.inner
      },
      bytes: storage.bytes,
    }
    return { storage: late, byteOffset, shape: [...shape], strides: [...strides], dtype } satisfies Operand
  }
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, snapshot(entry)]))
}

function live(handle: BufferHandle): PendingBuffer {
  if (!(handle instanceof PendingBuffer)) throw new TypeError('queued: this handle is not of a queued device')
  if (handle.freed) throw new Error(`queued: a buffer of ${handle.bytes} bytes is used after it was freed`)
  return handle
}

/** Wraps `inner`. It owns `inner`: disposing one disposes both. */
export function queuedBackend(inner: Backend): Backend {
  let queue: (() => void)[] = []
  let fault: unknown
  let liveBytes = 0
  let peakBytes = 0

  const flush = () => {
    const work = queue
    queue = []
    for (const run of work) {
      try {
        run()
      } catch (error) {
        fault ??= error
      }
    }
    if (fault !== undefined) throw fault
  }

  const at = (storage: StorageRef): StorageRef => ({ handle: live(storage.handle).inner, bytes: storage.bytes })
  const primitives: Partial<Record<(typeof PRIMITIVES)[number], (...args: unknown[]) => void>> = {}
  for (const name of PRIMITIVES) {
    const primitive = inner[name] as ((...args: unknown[]) => void) | undefined
    if (!primitive) continue
    primitives[name] = (...args) => {
      const taken = args.map(snapshot)
      queue.push(() => primitive.apply(inner, taken))
    }
  }

  const memory: Omit<Backend, (typeof PRIMITIVES)[number]> = {
    name: inner.name,
    description: `${inner.description}, queued`,
    dtypes: inner.dtypes,
    computeDtypes: inner.computeDtypes,
    attentionKernels: [],
    alloc(bytes) {
      const buffer = new PendingBuffer(bytes)
      queue.push(() => {
        buffer.inner = inner.alloc(bytes)
      })
      liveBytes += bytes
      peakBytes = Math.max(peakBytes, liveBytes)
      return buffer
    },
    free(handle) {
      const buffer = live(handle)
      buffer.freed = true
      liveBytes -= buffer.bytes
      queue.push(() => inner.free(buffer.inner))
    },
    write(storage, byteOffset, data) {
      const buffer = live(storage.handle)
      const copy = data.slice()
      queue.push(() => inner.write({ handle: buffer.inner, bytes: storage.bytes }, byteOffset, copy))
    },
    async read(storage, byteOffset, bytes) {
      // Looked up before the flush: later work may free it while the read waits.
      live(storage.handle)
      flush()
      return inner.read(at(storage), byteOffset, bytes)
    },
    async sync() {
      flush()
      return inner.sync()
    },
    memory: (): BackendMemory => ({ liveBytes, peakBytes, cachedBytes: 0 }),
    trim: () => inner.trim(),
    dispose() {
      queue = []
      inner.dispose()
    },
  }
  return { ...memory, ...primitives } as Backend
}
