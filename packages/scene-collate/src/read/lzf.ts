// LZF, the compression of PCD's binary_compressed (M. Lehmann, liblzf): runs of literals and references backwards.

/** Unpacks `input` to exactly `size` bytes; undefined when it holds more or less, or a reference before the start. */
export function decompressLzf(input: Uint8Array, size: number): Uint8Array | undefined {
  const out = new Uint8Array(size)
  let at = 0
  let end = 0
  while (at < input.length) {
    const control = input[at++]
    if (control < 32) {
      const count = control + 1
      if (at + count > input.length || end + count > size) return undefined
      out.set(input.subarray(at, at + count), end)
      at += count
      end += count
      continue
    }
    let count = control >> 5
    if (count === 7) count += input[at++]
    const from = end - ((control & 31) << 8) - input[at++] - 1
    count += 2
    if (at > input.length || from < 0 || end + count > size) return undefined
    // Byte by byte: a reference may overlap what it writes.
    for (let i = 0; i < count; i++) out[end + i] = out[from + i]
    end += count
  }
  return end === size ? out : undefined
}
