// Random draws that belong to a point by its place, not by its number: whatever order the points come in, each gets the same draw.

import { philox4x32, type RngKey } from '@ditkit/core'

/**
 * Four random words per point [P, 4]: the Philox block whose counter is the bits of x, y and z as f32 (−0 as 0) and 0. Points at one place share
 * their words.
 */
export function pointWords(points: Float32Array, key: RngKey): Uint32Array {
  const positions = points.slice()
  for (let i = 0; i < positions.length; i++) if (positions[i] === 0) positions[i] = 0
  const bits = new Uint32Array(positions.buffer)
  const count = points.length / 3
  const words = new Uint32Array(4 * count)
  for (let i = 0; i < count; i++)
    philox4x32(bits[3 * i], bits[3 * i + 1], bits[3 * i + 2], 0, key.low, key.high, words, 4 * i)
  return words
}

/** One number in [0, 1) per point, multiples of 2^-53. */
export function pointUniforms(points: Float32Array, key: RngKey): Float64Array {
  const words = pointWords(points, key)
  return Float64Array.from(
    { length: words.length / 4 },
    (_, i) => (words[4 * i] * 2 ** 21 + (words[4 * i + 1] >>> 11)) / 2 ** 53,
  )
}

/** Three standard normal numbers per point [P, 3], by Box and Muller. */
export function pointNormals(points: Float32Array, key: RngKey): Float64Array {
  const words = pointWords(points, key)
  const normals = new Float64Array(points.length)
  const radius = (word: number) => Math.sqrt(-2 * Math.log((word + 1) / 2 ** 32))
  const angle = (word: number) => (2 * Math.PI * word) / 2 ** 32
  for (let i = 0, w = 0; i < normals.length; i += 3, w += 4) {
    const [r, a] = [radius(words[w]), angle(words[w + 1])]
    normals[i] = r * Math.cos(a)
    normals[i + 1] = r * Math.sin(a)
    normals[i + 2] = radius(words[w + 2]) * Math.cos(angle(words[w + 3]))
  }
  return normals
}
