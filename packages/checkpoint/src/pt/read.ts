// Opening a .pt file: the object tree at once, each tensor's data when it is asked for.
import { CheckpointError, quote } from '../errors'
import { type SourceLike, toSource } from '../source'
import { PtArchive } from './archive'
import { readPickle } from './pickle-reader'
import { storageFromId } from './storage'
import { PtTensor } from './tensor'
import { torchHost } from './torch-names'
import { describe, type PtValue } from './values'

export interface PtOptions {
  /**
   * Bound on the estimated memory of the object tree without tensor data, in bytes; default 256 MiB. A training
   * checkpoint of a thousand parameters takes a few MiB.
   */
  maxObjectBytes?: number
}

const DEFAULT_MAX_OBJECT_BYTES = 2 ** 28

/**
 * Reads the object tree of a file written by `torch.save`, without executing anything in it and without reading tensor
 * data; each tensor in the tree has shape, dtype and `read()`. The source must stay readable for those reads.
 * @throws CheckpointError for files that are damaged, made to attack, compressed, or of the format before PyTorch 1.6.
 */
export async function parsePt(input: SourceLike, options: PtOptions = {}): Promise<PtValue> {
  const { maxObjectBytes = DEFAULT_MAX_OBJECT_BYTES } = options
  const source = toSource(input)
  const archive = await PtArchive.open(source)
  const size = archive.size('data.pkl')!
  if (size > maxObjectBytes) {
    const limit = `data.pkl has ${size} bytes, at most ${maxObjectBytes} are read`
    throw new CheckpointError(`${limit}: if you trust the file, raise maxObjectBytes`, { file: source.name })
  }
  const bigEndian = await isBigEndian(archive)
  const host = torchHost(id => storageFromId(id, archive, bigEndian), source.name)
  return readPickle(await archive.read('data.pkl'), host, { maxObjectBytes }, source.name)
}

async function isBigEndian(archive: PtArchive): Promise<boolean> {
  const size = archive.size('byteorder')
  if (size === undefined) return false
  const text = new TextDecoder().decode(await archive.read('byteorder', 0, Math.min(size, 16)))
  if (text === 'little' || text === 'big') return text === 'big'
  const got = `byteorder is ${quote(text)}, expected "little" or "big"`
  throw new CheckpointError(`${got}: the file is damaged`, { file: archive.source.name })
}

/**
 * The named tensors found at a place in the tree of a .pt file, e.g. `stateDict(tree, 'ema')` for the dict under
 * "ema", or `stateDict(tree)` for a bare state dict. Entries that are not tensors are left out.
 * @throws CheckpointError if there is no dict with tensors at that place; it names what is there.
 */
export function stateDict(tree: PtValue, ...path: string[]): Map<string, PtTensor> {
  let node = tree
  for (const [depth, key] of path.entries()) {
    const next = node instanceof Map ? node.get(key) : undefined
    if (next === undefined) {
      const where = ['the file', ...path.slice(0, depth).map(quote)].join(' > ')
      throw new CheckpointError(`no ${quote(key)} in ${where}: ${contents(node)}`)
    }
    node = next
  }
  const tensors = new Map<string, PtTensor>()
  if (node instanceof Map)
    for (const [name, value] of node)
      if (typeof name === 'string' && value instanceof PtTensor) tensors.set(name, value)
  if (tensors.size > 0) return tensors
  const where = ['the file', ...path.map(quote)].join(' > ')
  throw new CheckpointError(`expected a dict of tensors at ${where}: ${contents(node)}`)
}

function contents(node: PtValue): string {
  if (!(node instanceof Map)) return `it is ${describe(node)}`
  const keys = [...node.keys()].slice(0, 8).map(key => (typeof key === 'string' ? quote(key) : describe(key)))
  return `it is a dict of ${node.size}: ${keys.join(', ')}`
}
