// Writing safetensors: header first, then the tensors in order, never more than one of them in memory.
import { dtypeInfo } from '../dtype'
import { CheckpointError } from '../errors'
import { checkTensorSource, isLazy, type TensorInput, type TensorSource, tensorChunks } from '../tensor-record'
import { MAX_HEADER_BYTES } from './header'

/** Named tensors: a Map, any iterable of pairs, or a plain object. */
export type NamedTensors<T extends TensorSource = TensorSource> =
  | Iterable<readonly [string, T]>
  | Readonly<Record<string, T>>

export interface SafetensorsOptions {
  /** Text stored under `__metadata__`. */
  metadata?: ReadonlyMap<string, string> | Readonly<Record<string, string>>
}

interface Layout<T extends TensorSource> {
  /** Header length and header. */
  head: Uint8Array
  /** In the order of their data. */
  tensors: [string, T][]
  totalBytes: number
}

/**
 * The bytes of a safetensors file in order, in pieces of at most 16 MiB or the header. Lazy tensors are read one at a
 * time, when their turn comes.
 * @throws CheckpointError naming the tensor for a duplicate or unusable name, or data that does not fit its shape.
 */
export async function* safetensorsChunks(
  tensors: NamedTensors,
  options: SafetensorsOptions = {},
): AsyncGenerator<Uint8Array> {
  const layout = planLayout(tensors, options)
  yield layout.head
  for (const [tensor, source] of layout.tensors) yield* tensorChunks(source, { tensor })
}

/** A whole safetensors file in one buffer, from tensors in memory. Throws as `safetensorsChunks` does. */
export function serializeSafetensors(tensors: NamedTensors<TensorInput>, options: SafetensorsOptions = {}): Uint8Array {
  const layout = planLayout(tensors, options)
  const out = new Uint8Array(layout.totalBytes)
  out.set(layout.head)
  let at = layout.head.length
  for (const [tensor, source] of layout.tensors) {
    if (isLazy(source))
      throw new CheckpointError('is lazy: use safetensorsChunks or writeSafetensors, or read it first', { tensor })
    const { buffer, byteOffset, byteLength } = source.data
    out.set(new Uint8Array(buffer, byteOffset, byteLength), at)
    at += byteLength
  }
  return out
}

function planLayout<T extends TensorSource>(tensors: NamedTensors<T>, options: SafetensorsOptions): Layout<T> {
  const named = Symbol.iterator in tensors ? [...(tensors as Iterable<[string, T]>)] : Object.entries<T>(tensors)
  const seen = new Set<string>()
  const sized = named.map(([tensor, source]) => {
    checkText(tensor, 'name', tensor)
    if (tensor === '__metadata__') throw new CheckpointError('this name is reserved: rename the tensor', { tensor })
    if (seen.has(tensor)) throw new CheckpointError('name given twice: rename one', { tensor })
    seen.add(tensor)
    return { tensor, source, bytes: checkTensorSource(source, { tensor }) }
  })
  // Widest elements first keeps every tensor aligned to its element; equal ones stay in the caller's order.
  sized.sort((a, b) => laneBytes(b.source) - laneBytes(a.source))

  const members: string[] = []
  const metadata = metadataEntries(options)
  if (metadata.length > 0) members.push(`"__metadata__":{${metadata.map(pair => pair.map(json).join(':')).join(',')}}`)
  let at = 0
  for (const { tensor, source, bytes } of sized) {
    const { safetensors: dtype } = dtypeInfo(source.dtype)
    members.push(`${json(tensor)}:${json({ dtype, shape: source.shape, data_offsets: [at, at + bytes] })}`)
    at += bytes
  }
  const text = new TextEncoder().encode(`{${members.join(',')}}`)
  const headerBytes = Math.ceil(text.length / 8) * 8
  if (headerBytes > MAX_HEADER_BYTES)
    throw new CheckpointError(`header would take ${headerBytes} bytes, at most ${MAX_HEADER_BYTES}: split the file`)
  const head = new Uint8Array(8 + headerBytes).fill(0x20)
  new DataView(head.buffer).setBigUint64(0, BigInt(headerBytes), true)
  head.set(text, 8)
  return { head, tensors: sized.map(({ tensor, source }) => [tensor, source]), totalBytes: head.length + at }
}

function metadataEntries({ metadata = {} }: SafetensorsOptions): [string, string][] {
  const entries = metadata instanceof Map ? [...metadata] : Object.entries(metadata)
  for (const [key, value] of entries) {
    if (typeof value !== 'string')
      throw new CheckpointError(`metadata ${json(key)} must be a string, got ${typeof value}: JSON.stringify it`)
    checkText(key, 'metadata key')
    checkText(value, `metadata ${json(key)}`)
  }
  return entries
}

const json = (value: unknown): string => JSON.stringify(value)
const laneBytes = (tensor: TensorSource): number => dtypeInfo(tensor.dtype).bytes / dtypeInfo(tensor.dtype).lanes

// A lone surrogate has no UTF-8, so the name read back would be another one.
function checkText(text: string, what: string, tensor?: string): void {
  if (/\p{Surrogate}/u.test(text))
    throw new CheckpointError(`${what} has a lone surrogate and cannot be written as UTF-8`, { tensor })
}
