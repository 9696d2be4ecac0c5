// A file as a Source. Node 20 reads less than 2 GiB per call, so longer ranges are read in pieces.
import { open } from 'node:fs/promises'
import { CheckpointError, reasonOf } from '../errors'
import type { Source } from '../source'

const MAX_READ_BYTES = 2 ** 30

/** A file opened for reading in ranges. */
export interface FileSource extends Source, AsyncDisposable {
  readonly name: string
  close(): Promise<void>
}

/** Opens a file. Rejects with a CheckpointError naming it when it is missing, not a file, or not readable. */
export async function fileSource(path: string): Promise<FileSource> {
  const handle = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
    const reason = cause.code === 'ENOENT' ? 'there is no such file: check the path' : reasonOf(cause)
    throw new CheckpointError(`cannot open: ${reason}`, { file: path, cause })
  })
  const stat = await handle.stat()
  if (!stat.isFile()) {
    await handle.close()
    throw new CheckpointError('is not a file: give the path of a checkpoint file', { file: path })
  }
  const close = () => handle.close()
  return {
    name: path,
    size: stat.size,
    close,
    [Symbol.asyncDispose]: close,
    async read(offset, length) {
      const bytes = allocate(length, path)
      let done = 0
      while (done < length) {
        const part = Math.min(length - done, MAX_READ_BYTES)
        const { bytesRead } = await handle.read(bytes, done, part, offset + done)
        if (bytesRead === 0) break
        done += bytesRead
      }
      return done === length ? bytes : bytes.subarray(0, done)
    },
  }
}

function allocate(length: number, file: string): Uint8Array {
  try {
    return new Uint8Array(length)
  } catch (cause) {
    const asked = `cannot allocate ${length} bytes for one tensor`
    throw new CheckpointError(`${asked}: this is more than the platform allows, or memory is short`, { file, cause })
  }
}
