// Folders that are whole or not there at all: filled under a temporary name, flushed to the disk, then renamed.
// (Single files are written by writeFileAtomic of @ditkit/checkpoint.)

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { CheckpointError } from '@ditkit/checkpoint'
import { messageOf, UserError } from '../errors'

const temporaryName = (name: string) => `.${name}.tmp`
const replacedName = (name: string) => `.${name}.replaced.tmp`

/** Makes a folder whose files `fill` writes and flushes; one that has the name already is replaced once the new one is whole. */
export async function writeFolderAtomically(path: string, fill: (folder: string) => Promise<void>): Promise<void> {
  const parent = dirname(path)
  const temporary = join(parent, temporaryName(basename(path)))
  const replaced = join(parent, replacedName(basename(path)))
  try {
    rmSync(temporary, { recursive: true, force: true })
    rmSync(replaced, { recursive: true, force: true })
    mkdirSync(temporary, { recursive: true })
    await fill(temporary)
    flushFolder(temporary)
    if (existsSync(path)) renameSync(path, replaced)
    renameSync(temporary, path)
    flushFolder(parent)
    rmSync(replaced, { recursive: true, force: true })
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true })
    throw diskError(error, path)
  }
}

/** Removes what a process that was killed while writing left in `folder`; `name` limits it to one file's. */
export function removeLeftovers(folder: string, name = ''): void {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return
  for (const entry of readdirSync(folder)) {
    if (entry.startsWith(`.${name}`) && entry.endsWith('.tmp'))
      rmSync(join(folder, entry), { recursive: true, force: true })
  }
}

/** An error of the file system in words, with what to do; other errors as they are. */
export function diskError(error: unknown, path: string): unknown {
  const code = codeOf(error)
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
    return new UserError(
      `no space left to write ${path} (${code}): free some, then run it again (train goes on with --resume); what was written before is whole`,
    )
  }
  if (code && error instanceof Error && !(error instanceof UserError))
    return new UserError(`${path} cannot be written: ${messageOf(error)}`)
  return error
}

function codeOf(error: unknown): string | undefined {
  const cause = error instanceof CheckpointError ? error.cause : error
  return (cause as NodeJS.ErrnoException | undefined)?.code
}

function flushFolder(path: string): void {
  // Windows cannot open folders and needs no such call.
  if (process.platform === 'win32') return
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
