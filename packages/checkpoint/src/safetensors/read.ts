// Reading safetensors: the header at once, each tensor when it is asked for.
import type { DType } from '../dtype'
import { CheckpointError, quote } from '../errors'
import { bytesSource, readExactly, type Source, type SourceLike, toSource } from '../source'
import { arrayOver, type LazyTensor, type TensorRecord, tensorRecord } from '../tensor-record'
import { type HeaderEntry, MAX_HEADER_BYTES, parseHeader } from './header'

/** The tensors of a safetensors file by name, in file order, with the file's metadata. */
export class SafetensorsMap extends Map<string, TensorRecord> {
  /** The `__metadata__` of the file; empty when it has none. */
  readonly metadata: ReadonlyMap<string, string>

  constructor(entries: Iterable<readonly [string, TensorRecord]>, metadata: ReadonlyMap<string, string>) {
    super(entries)
    this.metadata = metadata
  }
}

/** What a header says about one tensor. */
export interface TensorInfo {
  readonly shape: readonly number[]
  readonly dtype: DType
  readonly bytes: number
}

/** A safetensors file whose header was read; its tensors are read one at a time. */
export class SafetensorsReader {
  readonly names: readonly string[]

  constructor(
    private readonly source: Source,
    private readonly entries: ReadonlyMap<string, HeaderEntry>,
    private readonly dataStart: number,
    readonly metadata: ReadonlyMap<string, string>,
  ) {
    this.names = [...entries.keys()]
  }

  has(name: string): boolean {
    return this.entries.has(name)
  }

  /** Shape, dtype and size of a tensor. Throws a CheckpointError if there is none of that name. */
  info(name: string): TensorInfo {
    const { shape, dtype, begin, end } = this.entry(name)
    return { shape, dtype, bytes: end - begin }
  }

  /** Reads one tensor into fresh memory. Rejects with a CheckpointError if there is none of that name. */
  async read(name: string): Promise<TensorRecord> {
    const { shape, dtype, begin, end } = this.entry(name)
    const bytes = await readExactly(this.source, this.dataStart + begin, end - begin, `tensor ${quote(name)}`)
    return tensorRecord(shape, dtype, arrayOver(dtype, bytes))
  }

  /** All tensors, unread, as the writers take them. */
  tensors(): Map<string, LazyTensor> {
    return new Map(
      [...this.entries].map(([name, { shape, dtype }]) => [name, { shape, dtype, read: () => this.read(name) }]),
    )
  }

  /** Reads everything. */
  async readAll(): Promise<SafetensorsMap> {
    const records: [string, TensorRecord][] = []
    for (const name of this.names) records.push([name, await this.read(name)])
    return new SafetensorsMap(records, this.metadata)
  }

  private entry(name: string): HeaderEntry {
    const entry = this.entries.get(name)
    if (entry) return entry
    const some = this.names.slice(0, 5).map(quote).join(', ')
    const has = this.names.length > 0 ? `it has ${this.names.length} tensors: ${some}, ...` : 'it has none'
    throw new CheckpointError(`no such tensor; ${has}`, { file: this.source.name, tensor: name })
  }
}

/**
 * Opens a safetensors file from memory, a Blob or any Source, and reads its header only.
 * @throws CheckpointError if the header is malformed or does not fit the file.
 */
export async function openSafetensors(input: SourceLike): Promise<SafetensorsReader> {
  const source = toSource(input)
  const file = source.name
  const prefix = await readExactly(source, 0, 8, 'safetensors header length')
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true)
  if (length > MAX_HEADER_BYTES || 8 + Number(length) > source.size) {
    const limit = `expected at most ${MAX_HEADER_BYTES} and what the file holds (${source.size} bytes)`
    throw new CheckpointError(`safetensors header claims ${length} bytes, ${limit}: not a safetensors file?`, { file })
  }
  const dataStart = 8 + Number(length)
  const bytes = await readExactly(source, 8, Number(length), 'safetensors header')
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new CheckpointError('safetensors header is not UTF-8: not a safetensors file?', { file, cause })
  }
  const { entries, metadata } = parseHeader(text, source.size - dataStart, file)
  return new SafetensorsReader(source, entries, dataStart, metadata)
}

/** Parses a whole safetensors file in memory; the tensors are copies. Rejects as `openSafetensors` does. */
export async function parseSafetensors(bytes: Uint8Array | ArrayBuffer): Promise<SafetensorsMap> {
  const source = bytesSource(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes))
  return (await openSafetensors(source)).readAll()
}
