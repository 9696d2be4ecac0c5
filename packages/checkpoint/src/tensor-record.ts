// A tensor as checkpoints hold it: shape, dtype and row-major data, in memory or still in its file.
import { DTYPES, type DType, dtypeInfo, isDType, type TensorArray, type TensorArrays } from './dtype'
import { CheckpointError, type CheckpointErrorContext } from './errors'

type RecordOf<D extends DType> = { shape: number[]; dtype: D; data: TensorArrays[D] }
type InputOf<D extends DType> = { readonly shape: readonly number[]; readonly dtype: D; readonly data: TensorArrays[D] }

/** A tensor in memory: row-major `data` of product(shape) elements (twice that for complex). Narrowed by `dtype`. */
export type TensorRecord = { [D in DType]: RecordOf<D> }[DType]

/** What the writers take for a tensor in memory; every TensorRecord is one. */
export type TensorInput = { [D in DType]: InputOf<D> }[DType]

/** A tensor whose data is fetched when asked for. */
export interface LazyTensor {
  readonly shape: readonly number[]
  readonly dtype: DType
  /** Reads the data; a fresh array at every call, owned by the caller. */
  read(): Promise<TensorRecord>
}

/** What the writers take: a tensor in memory, or one that is read when its turn comes. */
export type TensorSource = TensorInput | LazyTensor

/** Most dimensions accepted from a file; PyTorch itself stops at 64. */
export const MAX_RANK = 64

/**
 * Number of elements of a shape.
 * @throws CheckpointError if an entry is not a non-negative integer, or the product leaves the exact integers.
 */
export function elementCount(shape: readonly number[], context?: CheckpointErrorContext): number {
  if (shape.length > MAX_RANK)
    throw new CheckpointError(`shape has ${shape.length} dimensions, expected at most ${MAX_RANK}`, context)
  let count = 1
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0)
      throw new CheckpointError(`shape [${shape.join(', ')}] must hold non-negative integers, got ${size}`, context)
    count *= size
    if (!Number.isSafeInteger(count))
      throw new CheckpointError(`shape [${shape.join(', ')}] has more than 2^53 elements`, context)
  }
  return count
}

/** Number of bytes of a tensor. Throws as `elementCount` does. */
export function byteCount(shape: readonly number[], dtype: DType, context?: CheckpointErrorContext): number {
  const bytes = elementCount(shape, context) * dtypeInfo(dtype).bytes
  if (!Number.isSafeInteger(bytes))
    throw new CheckpointError(`shape [${shape.join(', ')}] of ${dtype} has more than 2^53 bytes`, context)
  return bytes
}

/** The typed array of `dtype` over little-endian bytes; shares their memory where alignment allows. */
export function arrayOver(dtype: DType, bytes: Uint8Array): TensorArray {
  requireLittleEndianHost()
  const { array, bytes: size, lanes } = dtypeInfo(dtype)
  const laneBytes = size / lanes
  const aligned = bytes.byteOffset % laneBytes === 0 && bytes.buffer instanceof ArrayBuffer ? bytes : bytes.slice()
  return new array(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / laneBytes)
}

/** Puts the parts together; the caller has made `data` with `arrayOver(dtype, ...)`. */
export function tensorRecord(shape: readonly number[], dtype: DType, data: TensorArray): TensorRecord {
  return { shape: [...shape], dtype, data } as TensorRecord
}

export function isLazy(tensor: TensorSource): tensor is LazyTensor {
  return 'read' in tensor && typeof tensor.read === 'function'
}

/**
 * Checks what a caller hands to a writer, and returns its size in bytes.
 * @throws CheckpointError naming the tensor if dtype, array type, shape and length do not agree.
 */
export function checkTensorSource(tensor: TensorSource, context: CheckpointErrorContext): number {
  requireLittleEndianHost()
  if (tensor === null || typeof tensor !== 'object' || !Array.isArray(tensor.shape))
    throw new CheckpointError('expected { shape, dtype, data } or { shape, dtype, read() }', context)
  if (!isDType(tensor.dtype))
    throw new CheckpointError(`dtype ${String(tensor.dtype)} is unknown, expected one of ${DTYPES.join(', ')}`, context)
  const bytes = byteCount(tensor.shape, tensor.dtype, context)
  if (isLazy(tensor)) return bytes
  const { array, lanes, bytes: size } = dtypeInfo(tensor.dtype)
  if (!(tensor.data instanceof array)) {
    const got = (tensor.data as object | undefined)?.constructor?.name ?? String(tensor.data)
    throw new CheckpointError(`${tensor.dtype} data must be a ${array.name}, got ${got}`, context)
  }
  const expected = (bytes / size) * lanes
  if (tensor.data.length !== expected) {
    const shape = `[${tensor.shape.join(', ')}]`
    throw new CheckpointError(`shape ${shape} needs ${expected} entries, data has ${tensor.data.length}`, context)
  }
  return bytes
}

const CHUNK_BYTES = 16 * 2 ** 20

/** The bytes of a tensor that `checkTensorSource` accepted, in pieces of at most 16 MiB; reads a lazy one first. */
export async function* tensorChunks(tensor: TensorSource, context: CheckpointErrorContext): AsyncGenerator<Uint8Array> {
  const loaded = isLazy(tensor) ? await tensor.read() : tensor
  if (loaded !== tensor) {
    const expected = `${tensor.dtype} [${tensor.shape.join(', ')}]`
    checkTensorSource(loaded, context)
    const got = `${loaded.dtype} [${loaded.shape.join(', ')}]`
    if (got !== expected) throw new CheckpointError(`read() gave ${got}, but ${expected} was announced`, context)
  }
  const { buffer, byteOffset, byteLength } = loaded.data
  for (let at = 0; at < byteLength; at += CHUNK_BYTES)
    yield new Uint8Array(buffer, byteOffset + at, Math.min(CHUNK_BYTES, byteLength - at))
}

// Both formats store little-endian numbers and every platform that runs Node or a current browser is little-endian;
// on any other one the typed arrays would be silently wrong.
function requireLittleEndianHost(): void {
  if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1)
    throw new CheckpointError('big-endian hosts are not supported: use a little-endian machine')
}
