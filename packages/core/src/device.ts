// A device: a backend together with the tensors that live on it.

import { prepareKernels } from './attention/prepare'
import type { Backend } from './backend'
import { type DType, type FloatDType, type HostArray, isFloat } from './dtype'
import { rememberValues } from './host-values'
import { unscoped } from './scope'
import { checkShape, showShape, sizeOf } from './shape'
import { Storage } from './storage'
import { checkDifferentiable, emptyTensor, type Tensor } from './tensor'

export interface TensorOptions {
  dtype?: DType
  requiresGrad?: boolean
}

export interface DeviceMemory {
  /** Handles not disposed, those the tape holds included. */
  readonly liveTensors: number
  readonly liveBytes: number
  readonly peakBytes: number
  readonly cachedBytes: number
  /** What kernels keep for their next call, scratch memory and packed weights; not part of the figures above. */
  readonly workspaceBytes: number
}

/** Steps that may be in flight before `ready` waits: one running, one queued behind it. */
const STEPS_IN_FLIGHT = 2

export class Device {
  liveTensors = 0
  disposed = false
  private readonly fences: Promise<void>[] = []
  /** A fault that a fence of `ready` met and nobody was told yet. */
  private unreported: { error: unknown } | undefined

  constructor(readonly backend: Backend) {}

  get name(): string {
    return this.backend.name
  }

  get description(): string {
    return this.backend.description
  }

  /** The float dtype tensors have here unless another is asked for. */
  get floatDType(): FloatDType {
    return this.backend.dtypes.find(isFloat) ?? 'f32'
  }

  /**
   * A tensor with a copy of `data`, row-major. Numbers and float arrays take the device's float dtype, Int32Array i32, Uint8Array
   * bool, unless `dtype` says otherwise; f16 and bf16 are given as bits in a Uint16Array. Throws when the sizes disagree.
   */
  tensor(data: HostArray | readonly number[], shape: readonly number[], options: TensorOptions = {}): Tensor {
    checkShape('tensor', shape)
    const size = sizeOf(shape)
    if (data.length !== size) {
      throw new RangeError(`tensor: the data has ${data.length} elements but shape ${showShape(shape)} has ${size}`)
    }
    const dtype = options.dtype ?? defaultDType(data, this.floatDType)
    this.checkDType(dtype)
    const host = hostBytes(data, dtype)
    const tensor = this.empty(shape, { ...options, dtype })
    if (size > 0) {
      this.backend.write(tensor.storage, 0, new Uint8Array(host.buffer, host.byteOffset, host.byteLength))
      if (host instanceof Int32Array) rememberValues(tensor.storage, host)
    }
    return tensor
  }

  /** Content is undefined. */
  empty(shape: readonly number[], options: TensorOptions = {}): Tensor {
    checkShape('empty', shape)
    const dtype = options.dtype ?? this.floatDType
    this.checkDType(dtype)
    if (options.requiresGrad) checkDifferentiable(dtype)
    const tensor = emptyTensor(this, [...shape], dtype)
    if (options.requiresGrad) tensor.requiresGrad = true
    return tensor
  }

  full(shape: readonly number[], value: number, options: TensorOptions = {}): Tensor {
    const tensor = this.empty(shape, options)
    this.backend.fill(tensor, value)
    return tensor
  }

  zeros(shape: readonly number[], options: TensorOptions = {}): Tensor {
    return this.full(shape, 0, options)
  }

  ones(shape: readonly number[], options: TensorOptions = {}): Tensor {
    return this.full(shape, 1, options)
  }

  /** start, start + step, … (n values; i32 unless said otherwise). */
  arange(n: number, options: TensorOptions & { start?: number; step?: number } = {}): Tensor {
    const tensor = this.empty([n], { dtype: 'i32', ...options })
    this.backend.iota(tensor, options.start ?? 0, options.step ?? 1)
    return tensor
  }

  /** A contiguous copy off the tape, owned by the caller. */
  copyOf(tensor: Tensor): Tensor {
    const copy = unscoped(() => emptyTensor(this, tensor.shape, tensor.dtype))
    this.backend.copy(tensor, copy)
    return copy
  }

  /** Resolves when all enqueued work has run; rejects with the first fault. */
  async sync(): Promise<void> {
    await this.backend.sync()
    this.raise()
  }

  /**
   * Await it once per step: it resolves as soon as at most two steps are in flight, so that a fast host neither runs ahead without
   * bound nor waits for a result, and lets timers and input run in between.
   */
  async ready(): Promise<void> {
    // A backend reports a fault once. Where a fence is what it is reported to, the next read, sync or ready must pass it on.
    const fence = this.backend.sync().catch((error: unknown) => {
      this.unreported ??= { error }
    })
    this.fences.push(fence)
    await macrotask()
    while (this.fences.length > STEPS_IN_FLIGHT) await this.fences.shift()
    this.raise()
  }

  /** Throws the fault that a fence met, once. */
  raise(): void {
    const fault = this.unreported
    this.unreported = undefined
    if (fault) throw fault.error
  }

  /** Passes the values on once they are there, for a report that nobody waits for; a fault met on the way is left to the next read, sync or ready. */
  whenRead(tensor: Tensor, report: (values: HostArray) => void): void {
    tensor.read().then(report, (error: unknown) => {
      this.unreported ??= { error }
    })
  }

  memory(): DeviceMemory {
    const { liveBytes, peakBytes, cachedBytes, workspaceBytes = 0 } = this.backend.memory()
    return { liveTensors: this.liveTensors, liveBytes, peakBytes, cachedBytes, workspaceBytes }
  }

  /** Frees the device with everything on it. Using one of its tensors afterwards throws. */
  dispose(): void {
    if (this.disposed) return
    this.disposed = true
    this.backend.dispose()
  }

  allocate(bytes: number): Storage {
    if (this.disposed) throw new Error(`the ${this.name} device was disposed; make a new one`)
    return new Storage(this, this.backend.alloc(bytes), bytes)
  }

  checkDType(dtype: DType): void {
    if (!this.backend.dtypes.includes(dtype)) {
      throw new TypeError(
        `dtype ${dtype} does not exist on the ${this.name} device (it has ${this.backend.dtypes.join(', ')})`,
      )
    }
  }
}

/** A device over a backend as it is. Its attention kernels that want to be prepared are refused: see `openDevice`. */
export function createDevice(backend: Backend): Device {
  return new Device(backend)
}

/** What a backend package calls to make its device: prepares the backend's attention kernels first. */
export async function openDevice(backend: Backend): Promise<Device> {
  await prepareKernels(backend)
  return new Device(backend)
}

function macrotask(): Promise<void> {
  const immediate = (globalThis as { setImmediate?: (fn: () => void) => void }).setImmediate
  return new Promise(resolve => (immediate ? immediate(resolve) : setTimeout(resolve, 0)))
}

function defaultDType(data: HostArray | readonly number[], float: FloatDType): DType {
  if (data instanceof Int32Array) return 'i32'
  if (data instanceof Uint8Array) return 'bool'
  if (data instanceof Uint16Array) throw new TypeError("tensor: a Uint16Array needs dtype 'f16' or 'bf16'")
  return float
}

/** The values as the device stores them: converted between number types, bits taken as they are. */
function hostBytes(data: HostArray | readonly number[], dtype: DType): ArrayBufferView & { buffer: ArrayBufferLike } {
  switch (dtype) {
    case 'f32':
      return data instanceof Float32Array ? data : new Float32Array(data)
    case 'f64':
      return data instanceof Float64Array ? data : new Float64Array(data)
    case 'i32': {
      if (data instanceof Int32Array) return data
      for (let i = 0; i < data.length; i++) {
        if (!Number.isInteger(data[i]) || data[i] < -(2 ** 31) || data[i] > 2 ** 31 - 1) {
          throw new RangeError(`tensor: element ${i} is ${data[i]}, which is not a 32-bit integer (dtype i32)`)
        }
      }
      return Int32Array.from(data)
    }
    case 'bool':
      return Uint8Array.from(data, value => (value ? 1 : 0))
    default:
      if (!(data instanceof Uint16Array)) {
        throw new TypeError(
          `tensor: dtype ${dtype} takes bits in a Uint16Array; for numbers make an f32 tensor and use cast(t, '${dtype}')`,
        )
      }
      return data
  }
}
