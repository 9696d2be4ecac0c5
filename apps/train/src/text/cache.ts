// Embeddings kept on disk, one file for each text, under a hash of the text and of what embedded it.

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { writeFileAtomic } from '@ditkit/checkpoint/node'
import { cacheFolder } from '../cache-folder'
import { messageOf } from '../errors'

function fileOf(model: string, text: string): string {
  const hash = createHash('sha256').update(`${model}\0${text}`).digest('hex')
  return cacheFolder('text', `${hash}.f32`)
}

/** The embedding of `width` numbers; undefined when there is none, or none that is whole. */
export function readCached(model: string, text: string, width: number): Float32Array | undefined {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(fileOf(model, text))
  } catch {
    return undefined
  }
  return bytes.byteLength === width * 4 ? new Float32Array(Uint8Array.from(bytes).buffer) : undefined
}

let warned = false

/** A cache that cannot be written costs time, which is said once, and is no error. */
export async function writeCached(model: string, text: string, row: Float32Array): Promise<void> {
  const file = fileOf(model, text)
  try {
    mkdirSync(dirname(file), { recursive: true })
    await writeFileAtomic(file, new Uint8Array(row.buffer, row.byteOffset, row.byteLength))
  } catch (error) {
    if (!warned) console.warn(`Text embeddings are not kept for the next time: ${messageOf(error)}`)
    warned = true
  }
}
