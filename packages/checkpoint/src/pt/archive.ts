// The zip that torch.save writes: where each stored record lies, found through the central directory alone, so that a
// record can be read without touching the others. Zip64 included.
import { type Reader, ZipReader } from '@zip.js/zip.js/lib/zip-core-reader.js'
import { CheckpointError, quote, reasonOf } from '../errors'
import { readExactly, type Source } from '../source'

/** Most a central directory may take: about 100 times that of the largest checkpoints. */
const MAX_DIRECTORY_BYTES = 2 ** 24

interface ZipRecord {
  readonly headerOffset: number
  readonly size: number
}

/** The records of one torch archive, by their name below its root folder (`data.pkl`, `data/0`). */
export class PtArchive {
  private constructor(
    readonly source: Source,
    private readonly records: ReadonlyMap<string, ZipRecord>,
  ) {}

  /** Opens a torch zip archive. Throws a CheckpointError for anything else, and for compressed or encrypted ones. */
  static async open(source: Source): Promise<PtArchive> {
    await requireZip(source)
    const records = await listRecords(source)
    const root = findRoot([...records.keys()], source.name)
    const inside = new Map<string, ZipRecord>()
    for (const [name, record] of records) if (name.startsWith(root)) inside.set(name.slice(root.length), record)
    return new PtArchive(source, inside)
  }

  has(name: string): boolean {
    return this.records.has(name)
  }

  /** Size of a record in bytes; undefined when there is none of that name. */
  size(name: string): number | undefined {
    return this.records.get(name)?.size
  }

  /** Reads `length` bytes of a record from `offset`. Rejects with a CheckpointError when they are not all there. */
  async read(name: string, offset = 0, length?: number): Promise<Uint8Array> {
    const file = this.source.name
    const record = this.records.get(name)
    if (!record) throw new CheckpointError(`has no record ${quote(name)}: it is damaged`, { file })
    const wanted = length ?? record.size - offset
    if (offset + wanted > record.size) {
      const range = `bytes ${offset} + ${wanted} leave record ${quote(name)} of ${record.size} bytes`
      throw new CheckpointError(range, { file })
    }
    const start = await this.dataOffset(name, record)
    return readExactly(this.source, start + offset, wanted, `record ${quote(name)}`)
  }

  // The local header repeats the name and has its own padding, which torch uses to align data.
  private async dataOffset(name: string, { headerOffset }: ZipRecord): Promise<number> {
    const bytes = await readExactly(this.source, headerOffset, 30, `header of record ${quote(name)}`)
    const view = new DataView(bytes.buffer, bytes.byteOffset, 30)
    if (view.getUint32(0, true) !== 0x04034b50) {
      const problem = `record ${quote(name)} has no header at byte ${headerOffset}`
      throw new CheckpointError(`${problem}: the file is damaged, fetch it again`, { file: this.source.name })
    }
    return headerOffset + 30 + view.getUint16(26, true) + view.getUint16(28, true)
  }
}

async function requireZip(source: Source): Promise<void> {
  const head = await readExactly(source, 0, Math.min(source.size, 4), 'start of the file')
  const [a, b, c, d] = head
  if (a === 0x50 && b === 0x4b) return
  const file = source.name
  // The magic number 0x1950a86a20f9469cfc6c as a pickled integer.
  if (a === 0x80 && c === 0x8a && d === 0x0a) {
    const way = 'open it in PyTorch 1.6 or later and save it again: torch.save(torch.load(path), path)'
    throw new CheckpointError(`is a PyTorch file of the format before version 1.6, which is not read: ${way}`, { file })
  }
  const what = 'is not a PyTorch zip file (torch.save since version 1.6)'
  throw new CheckpointError(`${what}: it is truncated, or of another format`, { file })
}

async function listRecords(source: Source): Promise<Map<string, ZipRecord>> {
  const file = source.name
  const records = new Map<string, ZipRecord>()
  const zip = new ZipReader(directoryReader(source))
  try {
    for await (const entry of zip.getEntriesGenerator()) {
      if (entry.directory) continue
      const name = entry.filename
      if (records.has(name)) throw new CheckpointError(`has record ${quote(name)} twice: it is damaged`, { file })
      if (entry.encrypted)
        throw new CheckpointError(`record ${quote(name)} is encrypted: decrypt the zip first`, { file })
      if (entry.compressionMethod !== 0 || entry.compressedSize !== entry.uncompressedSize) {
        const sizes = `record ${quote(name)} is compressed (${entry.compressedSize} to ${entry.uncompressedSize} bytes)`
        const way = 'torch.save never does that; unpack it and zip it again with zip -0'
        throw new CheckpointError(`${sizes}: ${way}`, { file })
      }
      if (!(entry.offset + entry.uncompressedSize <= source.size)) {
        const place = `record ${quote(name)} of ${entry.uncompressedSize} bytes at ${entry.offset}`
        const problem = `leaves the file of ${source.size} bytes: it is truncated or damaged, fetch it again`
        throw new CheckpointError(`${place} ${problem}`, { file })
      }
      records.set(name, { headerOffset: entry.offset, size: entry.uncompressedSize })
    }
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause
    const reason = `is not a readable zip (${reasonOf(cause)})`
    throw new CheckpointError(`${reason}: it is truncated or damaged, fetch it again`, { file, cause })
  }
  return records
}

function findRoot(names: readonly string[], file?: string): string {
  const pickles = names.filter(name => /^[^/]*\/data\.pkl$/.test(name))
  if (pickles.length === 1) return pickles[0]!.slice(0, -'data.pkl'.length)
  const found = `has ${pickles.length} records named <folder>/data.pkl, expected 1`
  throw new CheckpointError(`${found}: it was not written by torch.save`, { file })
}

// What zip.js asks for is small: the end of the file and its directory. It takes any object with these two members;
// its Reader class would bring the whole library (web workers, inflate) into a browser's bundle.
function directoryReader(source: Source): Reader<Source> {
  const reader = {
    size: source.size,
    async readUint8Array(offset: number, length: number): Promise<Uint8Array> {
      const within = Math.min(length, source.size - offset)
      if (within > MAX_DIRECTORY_BYTES) {
        const limit = `zip directory takes ${within} bytes, expected at most ${MAX_DIRECTORY_BYTES}`
        throw new CheckpointError(`${limit}: it is damaged, or no checkpoint`, { file: source.name })
      }
      return readExactly(source, offset, within, 'zip directory')
    },
  }
  return reader as unknown as Reader<Source>
}
