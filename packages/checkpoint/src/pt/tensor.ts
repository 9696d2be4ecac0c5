// A tensor of a .pt file: a strided window on a storage, checked when the file is opened and read when asked for.
import { type DType, dtypeInfo, type TensorArray } from '../dtype'
import { CheckpointError } from '../errors'
import { arrayOver, byteCount, elementCount, type LazyTensor, type TensorRecord, tensorRecord } from '../tensor-record'
import type { PtStorage } from './storage'

// torch.save keeps expanded tensors (stride 0) small, so a small file can stand for terabytes.
const MAX_EXPANDED_BYTES = 2 ** 28

/** Where a tensor lies in its storage, in elements. */
export interface TensorWindow {
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
}

/** A tensor of a .pt file. `read()` gives it row-major, whatever its strides are in the file. */
export class PtTensor implements LazyTensor {
  readonly shape: readonly number[]
  readonly dtype: DType
  /** Strides in the file, in elements. */
  readonly strides: readonly number[]
  /** First element within the storage. */
  readonly storageOffset: number
  /** Tensors with the same storage share memory in PyTorch. */
  readonly storage: PtStorage

  /** Throws a CheckpointError when the window leaves the storage. */
  constructor(storage: PtStorage, dtype: DType, window: TensorWindow) {
    const { shape, strides, offset } = window
    checkWindow(storage, dtype, window)
    this.storage = storage
    this.dtype = dtype
    this.shape = shape
    this.strides = strides
    this.storageOffset = offset
  }

  async read(): Promise<TensorRecord> {
    const { shape, strides, dtype, storage } = this
    const { bytes: size, lanes } = dtypeInfo(dtype)
    const count = elementCount(shape)
    const span = count === 0 ? 0 : spanOf(shape, strides)
    const bytes = await storage.read(this.storageOffset * size, span * size, size / lanes)
    const flat = arrayOver(dtype, bytes)
    if (isRowMajor(shape, strides)) return tensorRecord(shape, dtype, flat)
    const out = arrayOver(dtype, new Uint8Array(count * size))
    // A complex number is two array entries, so it acts as one more axis.
    gather(flat, [...shape, lanes], [...strides.map(stride => stride * lanes), 1], out)
    return tensorRecord(shape, dtype, out)
  }
}

function checkWindow(storage: PtStorage, dtype: DType, { shape, strides, offset }: TensorWindow): void {
  const context = { file: storage.file, tensor: `storage ${storage.key}` }
  const bytes = byteCount(shape, dtype, context)
  const { bytes: size } = dtypeInfo(dtype)
  const valid = [offset, ...strides].every(value => Number.isSafeInteger(value) && value >= 0)
  if (strides.length !== shape.length || !valid) {
    const got = `strides [${strides.join(', ')}] and offset ${offset} for shape [${shape.join(', ')}]`
    throw new CheckpointError(
      `expected one non-negative stride per axis and a non-negative offset, got ${got}`,
      context,
    )
  }
  const elements = Math.floor(storage.bytes / size)
  const end = bytes === 0 ? 0 : offset + spanOf(shape, strides)
  if (!(end <= elements)) {
    const reach = `shape [${shape.join(', ')}] with strides [${strides.join(', ')}] from ${offset} reaches element ${end}`
    throw new CheckpointError(`${reach}, but the storage has ${elements} ${dtype} elements: damaged file`, context)
  }
  if (bytes > storage.bytes && bytes > MAX_EXPANDED_BYTES) {
    const sizes = `shape [${shape.join(', ')}] expands ${storage.bytes} bytes to ${bytes}`
    throw new CheckpointError(`${sizes}: save the tensor before expand()`, context)
  }
}

function spanOf(shape: readonly number[], strides: readonly number[]): number {
  return shape.reduce((last, size, axis) => last + (size - 1) * strides[axis]!, 0) + 1
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false
    expected *= shape[axis]!
  }
  return true
}

// Copies a strided window to row-major order, the innermost axis in a plain loop.
function gather(from: TensorArray, shape: readonly number[], strides: readonly number[], to: TensorArray): void {
  const last = shape.length - 1
  const length = shape[last]!
  const stride = strides[last]!
  const index = new Array<number>(last).fill(0)
  let base = 0
  for (let at = 0; at < to.length; ) {
    for (let i = 0; i < length; i++) to[at++] = from[base + i * stride]!
    for (let axis = last - 1; axis >= 0; axis--) {
      base += strides[axis]!
      if (++index[axis]! < shape[axis]!) break
      base -= shape[axis]! * strides[axis]!
      index[axis] = 0
    }
  }
}
