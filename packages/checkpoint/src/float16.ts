// Conversions between float32 and the 16-bit floats: exact one way, round to nearest even the other (IEEE 754).

const word = new Uint32Array(1)
const float = new Float32Array(word.buffer)

/** The number that a half-precision (IEEE binary16) bit pattern stands for; exact. */
export function float16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

/** Half-precision bits to float32, exactly. */
export function float16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Float32Array(bits.length)
  for (let i = 0; i < bits.length; i++) out[i] = float16ToNumber(bits[i]!)
  return out
}

/** bfloat16 bits to float32, exactly: bfloat16 is the upper half of a float32. */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length)
  for (let i = 0; i < bits.length; i++) out[i] = bits[i]! << 16
  return new Float32Array(out.buffer)
}

/** float32 to bfloat16 bits, to nearest even; NaN stays NaN, what is too large becomes infinite. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const out = new Uint16Array(values.length)
  for (let i = 0; i < words.length; i++) {
    const w = words[i]!
    // Rounding could carry a NaN's fraction away and leave infinity, so it is made quiet instead.
    if ((w & 0x7fffffff) > 0x7f800000) out[i] = (w >>> 16) | 0x40
    else out[i] = (w + 0x7fff + ((w >>> 16) & 1)) >>> 16
  }
  return out
}

/** float32 to half-precision bits, to nearest even; NaN stays NaN, what is too large becomes infinite. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length)
  for (let i = 0; i < values.length; i++) {
    float[0] = values[i]!
    out[i] = float16Bits(word[0]!)
  }
  return out
}

function float16Bits(w: number): number {
  const sign = (w >>> 16) & 0x8000
  const magnitude = w & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff)
  if (magnitude >= 0x477ff000) return sign | 0x7c00 // 65520 and above round to infinity
  if (magnitude >= 0x38800000) {
    // Normal: rebias the exponent by 112, round the 13 dropped bits; a carry moves into the exponent as it should.
    const rebased = magnitude - 0x38000000
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13)
  }
  if (magnitude < 0x33000000) return sign // below 2^-25: zero (2^-25 itself is a tie and goes to even, zero)
  const shift = 126 - (magnitude >>> 23)
  const fraction = (magnitude & 0x7fffff) | 0x800000
  const half = 1 << (shift - 1)
  return sign | ((fraction + half - 1 + ((fraction >>> shift) & 1)) >>> shift)
}
