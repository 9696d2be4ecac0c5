// Random access to bytes wherever they are: memory, a browser's Blob, a file (see node/file-source.ts), HTTP ranges.
import { CheckpointError, reasonOf } from './errors'

/** Bytes that can be read in ranges. */
export interface Source {
  /** How error messages call it. */
  readonly name?: string
  /** Total bytes. */
  readonly size: number
  /** Exactly `length` bytes from `offset`, in memory that the caller may keep and change. */
  read(offset: number, length: number): Promise<Uint8Array>
}

/** What the readers accept. */
export type SourceLike = Source | Blob | Uint8Array | ArrayBuffer

/** A Source over any of what the readers accept. */
export function toSource(input: SourceLike): Source {
  if (input instanceof Uint8Array) return bytesSource(input)
  if (input instanceof ArrayBuffer) return bytesSource(new Uint8Array(input))
  if (typeof Blob !== 'undefined' && input instanceof Blob) return blobSource(input)
  return input as Source
}

/** A Source over bytes in memory; what is read is copied. */
export function bytesSource(bytes: Uint8Array, name?: string): Source {
  return {
    name,
    size: bytes.byteLength,
    // Not bytes.slice(): a Node Buffer's slice() shares memory.
    read: async (offset, length) => new Uint8Array(bytes.subarray(offset, offset + length)),
  }
}

/** A Source over a Blob or File, as a file input or drag-and-drop gives it. */
export function blobSource(blob: Blob, name = 'name' in blob ? String(blob.name) : undefined): Source {
  return {
    name,
    size: blob.size,
    read: async (offset, length) => new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
  }
}

/**
 * Reads a range after checking that it lies inside the source.
 * @throws CheckpointError if it does not, if the source delivers less, or if it fails.
 */
export async function readExactly(source: Source, offset: number, length: number, what: string): Promise<Uint8Array> {
  const file = source.name
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0)
    throw new CheckpointError(`${what}: bytes ${offset} + ${length} are not a valid range`, { file })
  if (offset + length > source.size) {
    const need = `${what} ends at byte ${offset + length}, but the file has ${source.size} bytes`
    throw new CheckpointError(`${need}: it is truncated or damaged, fetch it again`, { file })
  }
  let bytes: Uint8Array
  try {
    bytes = await source.read(offset, length)
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause
    throw new CheckpointError(`${what}: cannot read ${length} bytes at ${offset}: ${reasonOf(cause)}`, { file, cause })
  }
  if (bytes.byteLength !== length)
    throw new CheckpointError(`${what}: asked for ${length} bytes at ${offset}, got ${bytes.byteLength}`, { file })
  return bytes
}
