// A PyTorch storage: the flat record of a .pt file that one or more tensors look into.
import { type DType, dtypeFromStorage, dtypeInfo } from '../dtype'
import { CheckpointError, quote } from '../errors'
import type { PtArchive } from './archive'
import { describe, isTuple, PtClass, type PtValue } from './values'

// Also UntypedStorage, where the tensor says its dtype, and those of quantized tensors, which stay inert.
const STORAGE_CLASS = /^torch\.(storage\.)?\w+Storage$/

/** One storage record. Tensors read ranges of it. */
export class PtStorage {
  /** dtype of its elements; undefined for an untyped or quantized one. */
  readonly dtype?: DType
  /** Name of its record below `data/`. */
  readonly key: string
  readonly bytes: number
  readonly #archive: PtArchive
  readonly #bigEndian: boolean

  constructor(archive: PtArchive, bigEndian: boolean, key: string, bytes: number, dtype?: DType) {
    this.#archive = archive
    this.#bigEndian = bigEndian
    this.key = key
    this.bytes = bytes
    this.dtype = dtype
  }

  /** Name of the file, for error messages. */
  get file(): string | undefined {
    return this.#archive.source.name
  }

  /** `length` bytes from `offset`, as little-endian numbers of `laneBytes` each. */
  async read(offset: number, length: number, laneBytes: number): Promise<Uint8Array> {
    const bytes = await this.#archive.read(`data/${this.key}`, offset, length)
    if (this.#bigEndian && laneBytes > 1)
      for (let at = 0; at < bytes.length; at += laneBytes) bytes.subarray(at, at + laneBytes).reverse()
    return bytes
  }
}

/**
 * The storage behind a persistent id: ('storage', class, key, location, element count).
 * @throws CheckpointError if the id is anything else, or its record is missing or too small.
 */
export function storageFromId(id: PtValue, archive: PtArchive, bigEndian: boolean): PtStorage {
  const file = archive.source.name
  if (!isTuple(id) || id.length < 5 || id[0] !== 'storage')
    throw new CheckpointError(`data.pkl has a persistent id of ${describe(id)}, expected a storage`, { file })
  const [, cls, key, , count] = id
  if (!(cls instanceof PtClass) || typeof key !== 'string' || typeof count !== 'number' || count < 0)
    throw new CheckpointError(`data.pkl has a malformed storage id: ${id.map(describe).join(', ')}`, { file })
  const dtype = dtypeFromStorage(cls.className)
  if (!STORAGE_CLASS.test(cls.className))
    throw new CheckpointError(`data.pkl names ${quote(cls.className)} as a storage class`, { file })
  const bytes = archive.size(`data/${key}`)
  if (bytes === undefined)
    throw new CheckpointError(`data.pkl refers to record ${quote(`data/${key}`)}, which is missing`, { file })
  const declared = count * (dtype === undefined ? 1 : dtypeInfo(dtype).bytes)
  if (declared > bytes) {
    const sizes = `storage ${quote(key)} should have ${declared} bytes, its record has ${bytes}`
    throw new CheckpointError(`${sizes}: the file is damaged, fetch it again`, { file })
  }
  return new PtStorage(archive, bigEndian, key, bytes, dtype)
}
