// An uncompressed zip as a stream of bytes, laid out as torch.save does: data on 64-byte boundaries (so that PyTorch can
// map it), checksums after the data, zip64 records where a size or offset needs them.
import type { Crc32 } from './crc32'

/** One record to store. `chunks` must deliver exactly `size` bytes. */
export interface ZipInput {
  readonly name: string
  readonly size: number
  chunks(): Iterable<Uint8Array> | AsyncIterable<Uint8Array>
}

const ALIGNMENT = 64
const LIMIT_16 = 0xffff
const LIMIT_32 = 0xffffffff
// Bit 3: sizes and checksum follow the data. Bit 11: names are UTF-8.
const FLAGS = 0x808
// 1980-01-01, the zip epoch: equal content gives equal files.
const DOS_DATE = 0x21

interface Written {
  name: Uint8Array
  size: number
  crc: number
  offset: number
}

/** The bytes of a zip file that holds `inputs` in order. */
export async function* zipChunks(inputs: Iterable<ZipInput>, crc32: Crc32): AsyncGenerator<Uint8Array> {
  const written: Written[] = []
  let at = 0
  for (const input of inputs) {
    const name = new TextEncoder().encode(input.name)
    const offset = at
    const header = localHeader(name, input.size, at)
    yield header
    let crc = 0
    for await (const chunk of input.chunks()) {
      crc = crc32(chunk, crc)
      yield chunk
    }
    const descriptor = dataDescriptor(input.size, crc)
    yield descriptor
    at += header.length + input.size + descriptor.length
    written.push({ name, size: input.size, crc, offset })
  }
  const directory = written.map(centralHeader)
  yield* directory
  const directoryBytes = directory.reduce((sum, entry) => sum + entry.length, 0)
  yield endRecords(written.length, at, directoryBytes)
}

function localHeader(name: Uint8Array, size: number, offset: number): Uint8Array {
  const large = size >= LIMIT_32
  const zip64 = large ? 20 : 0
  const unpadded = offset + 30 + name.length + zip64 + 4
  const padding = (ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT
  const out = new ByteWriter(30 + name.length + zip64 + 4 + padding)
  out
    .u32(0x04034b50)
    .u16(large ? 45 : 20)
    .u16(FLAGS)
    .u16(0)
    .u16(0)
    .u16(DOS_DATE)
  out
    .u32(0)
    .u32(large ? LIMIT_32 : 0)
    .u32(large ? LIMIT_32 : 0)
  out
    .u16(name.length)
    .u16(zip64 + 4 + padding)
    .bytes(name)
  if (large) out.u16(1).u16(16).u64(0).u64(0)
  // 'FB' is the id torch pads with.
  out.u16(0x4246).u16(padding)
  return out.buffer
}

function dataDescriptor(size: number, crc: number): Uint8Array {
  const large = size >= LIMIT_32
  const out = new ByteWriter(large ? 24 : 16)
  out.u32(0x08074b50).u32(crc)
  if (large) out.u64(size).u64(size)
  else out.u32(size).u32(size)
  return out.buffer
}

function centralHeader({ name, size, crc, offset }: Written): Uint8Array {
  const largeSize = size >= LIMIT_32
  const largeOffset = offset >= LIMIT_32
  const payload = (largeSize ? 16 : 0) + (largeOffset ? 8 : 0)
  const extra = payload > 0 ? payload + 4 : 0
  const version = payload > 0 ? 45 : 20
  const out = new ByteWriter(46 + name.length + extra)
  out.u32(0x02014b50).u16(version).u16(version).u16(FLAGS).u16(0).u16(0).u16(DOS_DATE)
  out
    .u32(crc)
    .u32(largeSize ? LIMIT_32 : size)
    .u32(largeSize ? LIMIT_32 : size)
  out.u16(name.length).u16(extra).u16(0).u16(0).u16(0).u32(0)
  out.u32(largeOffset ? LIMIT_32 : offset).bytes(name)
  if (payload > 0) out.u16(1).u16(payload)
  if (largeSize) out.u64(size).u64(size)
  if (largeOffset) out.u64(offset)
  return out.buffer
}

function endRecords(count: number, start: number, bytes: number): Uint8Array {
  const large = count >= LIMIT_16 || start >= LIMIT_32 || bytes >= LIMIT_32
  const out = new ByteWriter((large ? 76 : 0) + 22)
  if (large) {
    out.u32(0x06064b50).u64(44).u16(45).u16(45).u32(0).u32(0).u64(count).u64(count).u64(bytes).u64(start)
    out
      .u32(0x07064b50)
      .u32(0)
      .u64(start + bytes)
      .u32(1)
  }
  const shortCount = large ? LIMIT_16 : count
  out.u32(0x06054b50).u16(0).u16(0).u16(shortCount).u16(shortCount)
  out
    .u32(large ? LIMIT_32 : bytes)
    .u32(large ? LIMIT_32 : start)
    .u16(0)
  return out.buffer
}

// Little-endian fields one after the other.
class ByteWriter {
  readonly buffer: Uint8Array
  private readonly view: DataView
  private at = 0

  constructor(size: number) {
    this.buffer = new Uint8Array(size)
    this.view = new DataView(this.buffer.buffer)
  }

  u16(value: number): this {
    this.view.setUint16(this.at, value, true)
    this.at += 2
    return this
  }

  u32(value: number): this {
    this.view.setUint32(this.at, value, true)
    this.at += 4
    return this
  }

  u64(value: number): this {
    this.view.setBigUint64(this.at, BigInt(value), true)
    this.at += 8
    return this
  }

  bytes(value: Uint8Array): this {
    this.buffer.set(value, this.at)
    this.at += value.length
    return this
  }
}
