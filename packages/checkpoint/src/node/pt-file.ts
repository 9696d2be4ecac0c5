// PyTorch .pt files on disk.
import { crc32 } from 'node:zlib'
import type { PtInput } from '../pt/pickle-writer'
import { type PtOptions, parsePt } from '../pt/read'
import type { PtValue } from '../pt/values'
import { ptChunks } from '../pt/write'
import { type WrittenFile, writeFileAtomic } from './atomic-write'
import { fileSource } from './file-source'

/** An open .pt file; its tensors can be read until `close()` or the end of an `await using` block. */
export interface PtFile extends AsyncDisposable {
  /** What `torch.load` would return, with inert records for classes and unread tensors. */
  readonly value: PtValue
  close(): Promise<void>
}

/** Opens a file and reads its object tree, no tensor data. Rejects with a CheckpointError as `parsePt` does. */
export async function openPt(path: string, options: PtOptions = {}): Promise<PtFile> {
  const source = await fileSource(path)
  try {
    return { value: await parsePt(source, options), close: source.close, [Symbol.asyncDispose]: source.close }
  } catch (error) {
    await source.close()
    throw error
  }
}

/**
 * Writes a file atomically that `torch.load(path, weights_only=True)` opens, one lazy tensor in memory at a time.
 * @throws CheckpointError if a value cannot be written or the disk is full; the old file is then intact.
 */
export async function writePt(path: string, value: PtInput): Promise<WrittenFile> {
  return writeFileAtomic(path, ptChunks(value, crc32))
}
