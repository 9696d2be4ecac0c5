// Hand-made torch archives and pickles, for what no writer would produce.
import { crc32 } from '../src/pt/crc32'
import { zipChunks } from '../src/pt/zip-writer'

type Part = number | string | Uint8Array | readonly Part[]

/** Pickle bytes: numbers are bytes, strings their ASCII. */
export function bytes(...parts: Part[]): Uint8Array {
  const flat = (part: Part): number[] => {
    if (typeof part === 'number') return [part]
    if (typeof part === 'string') return [...new TextEncoder().encode(part)]
    return part instanceof Uint8Array ? [...part] : part.flatMap(flat)
  }
  return Uint8Array.from(parts.flatMap(flat))
}

/** A little-endian 32-bit number. */
export const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer)
export const u64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer)

/** Opcodes for a string, an int, a class reference. */
export const text = (value: string): Uint8Array => bytes('X', u32(new TextEncoder().encode(value).length), value)
export const int = (value: number): Uint8Array => bytes('J', u32(value))
export const cls = (module: string, name: string): Uint8Array => bytes('c', module, '\n', name, '\n')
export const tuple = (...items: Part[]): Uint8Array => bytes('(', items, 't')

/** A whole protocol 2 pickle around opcodes. */
export const pickle = (...parts: Part[]): Uint8Array => bytes(0x80, 2, parts, '.')

/** Opcodes for a tensor as torch.save writes it. */
export function tensor(
  shape: number[],
  strides: number[],
  options: { key?: string; offset?: number; count?: number } = {},
) {
  const { key = '0', offset = 0, count = 6 } = options
  const storage = bytes(tuple(text('storage'), cls('torch', 'FloatStorage'), text(key), text('cpu'), int(count)), 'Q')
  const hooks = bytes(cls('collections', 'OrderedDict'), ')R')
  const args = tuple(storage, int(offset), tuple(...shape.map(int)), tuple(...strides.map(int)), 0x89, hooks)
  return bytes(cls('torch._utils', '_rebuild_tensor_v2'), args, 'R')
}

/** A zip of stored records. */
export async function zip(records: Record<string, Uint8Array>): Promise<Uint8Array> {
  const inputs = Object.entries(records).map(([name, data]) => ({ name, size: data.length, chunks: () => [data] }))
  const chunks: Uint8Array[] = []
  for await (const chunk of zipChunks(inputs, crc32)) chunks.push(chunk)
  return new Uint8Array(Buffer.concat(chunks))
}

/** A torch archive with this pickle and one storage of six f32 elements. */
export const archive = (data: Uint8Array): Promise<Uint8Array> =>
  zip({ 'a/data.pkl': data, 'a/byteorder': bytes('little'), 'a/data/0': new Uint8Array(24), 'a/version': bytes('3\n') })
