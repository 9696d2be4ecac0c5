// safetensors files on disk.
import { openSafetensors as openSource, type SafetensorsMap, type SafetensorsReader } from '../safetensors/read'
import { type NamedTensors, type SafetensorsOptions, safetensorsChunks } from '../safetensors/write'
import { type WrittenFile, writeFileAtomic } from './atomic-write'
import { fileSource } from './file-source'

/** An open safetensors file; closed by `close()` or at the end of an `await using` block. */
export interface SafetensorsFile extends SafetensorsReader, AsyncDisposable {
  close(): Promise<void>
}

/** Opens a file and reads its header only. Rejects with a CheckpointError if it is missing or malformed. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const source = await fileSource(path)
  try {
    const reader = await openSource(source)
    return Object.assign(reader, { close: source.close, [Symbol.asyncDispose]: source.close })
  } catch (error) {
    await source.close()
    throw error
  }
}

/** Reads a whole file: name -> { shape, dtype, data }. Rejects with a CheckpointError as `openSafetensors` does. */
export async function readSafetensors(path: string): Promise<SafetensorsMap> {
  const file = await openSafetensors(path)
  try {
    return await file.readAll()
  } finally {
    await file.close()
  }
}

/**
 * Writes a file atomically, one tensor in memory at a time beyond those the caller holds.
 * @throws CheckpointError if a tensor cannot be written or the disk is full; the old file is then intact.
 */
export function writeSafetensors(
  path: string,
  tensors: NamedTensors,
  options: SafetensorsOptions = {},
): Promise<WrittenFile> {
  return writeFileAtomic(path, safetensorsChunks(tensors, options))
}
