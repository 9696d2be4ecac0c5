// Writing .pt files: the archive of torch.save, with tensors streamed one at a time.
import { tensorChunks } from '../tensor-record'
import { type Crc32, crc32 } from './crc32'
import { encodeTree, type PtInput } from './pickle-writer'
import { type ZipInput, zipChunks } from './zip-writer'

/**
 * The bytes of a .pt file in order, which `torch.load(path, weights_only=True)` opens. Lazy tensors are read one at a
 * time, when their turn comes.
 * @throws CheckpointError naming the place in the tree for what cannot be written.
 */
export function ptChunks(value: PtInput, checksum: Crc32 = crc32): AsyncGenerator<Uint8Array> {
  const { pickle, storages } = encodeTree(value)
  const text = (name: string, content: string) => record(name, new TextEncoder().encode(content))
  const inputs: ZipInput[] = [
    record('data.pkl', pickle),
    text('.format_version', '1'),
    text('.storage_alignment', '64'),
    text('byteorder', 'little'),
    ...storages.map(({ tensor, bytes, path }, key) => ({
      name: `archive/data/${key}`,
      size: bytes,
      chunks: () => tensorChunks(tensor, { tensor: path }),
    })),
    text('version', '3\n'),
  ]
  return zipChunks(inputs, checksum)
}

/** A whole .pt file in one buffer. Rejects as `ptChunks` does. */
export async function serializePt(value: PtInput): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of ptChunks(value)) chunks.push(chunk)
  const out = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    out.set(chunk, at)
    at += chunk.length
  }
  return out
}

function record(name: string, content: Uint8Array): ZipInput {
  return { name: `archive/${name}`, size: content.length, chunks: () => [content] }
}
