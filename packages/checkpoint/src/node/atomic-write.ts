// Writing a file whole or not at all: temporary name in the same folder, fsync, rename, fsync of the folder.
import { createHash, randomBytes } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CheckpointError, reasonOf } from '../errors'

/** What was written. */
export interface WrittenFile {
  readonly bytes: number
  /** SHA-256 of the content, in hex. */
  readonly sha256: string
}

/**
 * Writes a file so that `path` holds either its old content or all of the new, also after a crash or power cut.
 * @throws CheckpointError when writing fails (a full disk, no permission) or the content cannot be produced; `path` is
 * then as it was and nothing is left beside it.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<WrittenFile> {
  const folder = dirname(path)
  const temporary = join(folder, `.${basename(path)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`)
  const hash = createHash('sha256')
  let bytes = 0
  try {
    const handle = await open(temporary, 'wx')
    try {
      for await (const chunk of chunksOf(content)) {
        await writeAll(handle, chunk)
        hash.update(chunk)
        bytes += chunk.byteLength
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true })
    if (cause instanceof CheckpointError)
      throw new CheckpointError(cause.detail, { file: path, tensor: cause.tensor, cause })
    throw new CheckpointError(`cannot write: ${remedy(cause, folder)}; nothing was changed`, { file: path, cause })
  }
  await syncFolder(folder)
  return { bytes, sha256: hash.digest('hex') }
}

function chunksOf(content: Parameters<typeof writeFileAtomic>[1]): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  if (typeof content === 'string') return [new TextEncoder().encode(content)]
  return content instanceof Uint8Array ? [content] : content
}

const MAX_WRITE_BYTES = 2 ** 30

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  let done = 0
  while (done < chunk.byteLength) {
    const { bytesWritten } = await handle.write(chunk, done, Math.min(chunk.byteLength - done, MAX_WRITE_BYTES))
    done += bytesWritten
  }
}

// Without it the rename itself may be lost in a power cut. Windows cannot open folders and needs no such call.
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function remedy(cause: unknown, folder: string): string {
  const code = (cause as NodeJS.ErrnoException).code
  if (code === 'ENOSPC' || code === 'EDQUOT') return `the disk of ${folder} is full: free some space`
  if (code === 'ENOENT') return `folder ${folder} does not exist: create it first`
  return reasonOf(cause)
}
