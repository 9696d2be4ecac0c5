// bfloat16 as arithmetic: float32's exponents with 8 significant bits. What a product under `computeDtype: 'bf16'` sees of its operands.

/** Added and taken away again, it leaves a double below 2^51 as the nearest integer, halves to the even one. */
const TO_INTEGER = 1.5 * 2 ** 52
/** The exponent below which float32, and bfloat16 with it, has no more normal numbers. */
const LEAST_EXPONENT = -126

const double = new Float64Array(1)
const words = new Uint32Array(double.buffer)
// The half of a double that holds its exponent is the second one on a little-endian machine.
const HIGH = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 1 : 0

/**
 * The bfloat16 nearest to x, halves to the one with an even last bit. What lies beyond the largest (3.39e38) by half a step or more is
 * infinite, what lies below the least (9.2e-41) by more than half of it 0; the sign stays, and NaN stays NaN.
 */
export function roundToBf16(x: number): number {
  if (x === 0 || !Number.isFinite(x)) return x
  double[0] = x
  const exponent = Math.max(((words[HIGH] >>> 20) & 0x7ff) - 1023, LEAST_EXPONENT)
  const step = 2 ** (exponent - 7)
  const size = (Math.abs(x) / step + TO_INTEGER - TO_INTEGER) * step
  const rounded = size >= 2 ** 128 ? Number.POSITIVE_INFINITY : size
  return x < 0 ? -rounded : rounded
}
