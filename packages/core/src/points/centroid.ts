// The mean of a point cloud, the same whatever the order of its points.

const ROUND_TO_WHOLE = 1.5 * 2 ** 52

/**
 * Mean of the values in f32. They are first rounded to whole multiples of 2⁻²³ of the power of two at or below the largest magnitude (f32's own spacing there),
 * of which f64 holds the sum exactly, for up to 2²⁹ values: so the order of adding has no influence. `largest` is that magnitude.
 */
export function meanInAnyOrder(values: Float32Array, largest: number): number {
  const exponent = new Uint32Array(Float32Array.of(largest).buffer)[0] >>> 23
  const scale = 2 ** (150 - exponent)
  let sum = 0
  // Adding and taking away 1.5·2⁵² rounds to a whole number, halves to the even one.
  for (let i = 0; i < values.length; i++) sum += values[i] * scale + ROUND_TO_WHOLE - ROUND_TO_WHOLE
  return Math.fround(sum / values.length / scale)
}

export function largestMagnitude(...arrays: readonly Float32Array[]): number {
  let largest = 0
  for (const values of arrays) for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]))
  return largest
}
