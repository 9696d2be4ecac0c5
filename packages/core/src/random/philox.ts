// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
// 1, 2, 3" (SC 2011), and the formulas that turn its words into bits, uniforms, normals and dropout lanes. Every
// backend implements exactly what is written here; the integers must be identical everywhere.
//
// One round maps a counter (c0, c1, c2, c3) and round key (k0, k1), all uint32, to
//
//   (hi(M1·c2) ^ c1 ^ k0,  lo(M1·c2),  hi(M0·c0) ^ c3 ^ k1,  lo(M0·c0))
//
// with M0 = 0xD2511F53, M1 = 0xCD9E8D57, and hi, lo the halves of the 64-bit product. There are ten rounds; before
// each but the first, k0 += 0x9E3779B9 and k1 += 0xBB67AE85 (mod 2^32). k0 is the low, k1 the high word of a key.
//
// Fill convention (`Backend.random`): element n in row-major order takes word n mod 4 of the block with counter
// (lo(⌊n/4⌋), hi(⌊n/4⌋), 0, 0).
//
//   bits     the word itself, as i32
//   uniform  (word >>> 8) · 2^-24, in [0, 1)
//   normal   Box-Muller on words (0, 1) for elements 0 and 1 of the block, on words (2, 3) for elements 2 and 3:
//            u1 = ((first >>> 8) + 1) · 2^-24 in (0, 1],  u2 = (second >>> 8) · 2^-24,
//            r = sqrt(−2 ln u1),  even element r·cos(2π·u2),  odd element r·sin(2π·u2)
//
// Attention dropout: element (b, h, i, j) takes 16-bit lane l = j mod 8 of the block with counter (⌊j/8⌋, i, h, b):
// the low half of word l >> 1 when l is even, the high half when it is odd; it is kept when lane ≥ round(p · 65536).
//
// Derived keys (key.ts) and bounded integers (host.ts) use counters with an ASCII tag in the third word, which no fill
// and no head number reaches.

const M0 = 0xd2511f53
const M1 = 0xcd9e8d57
const W0 = 0x9e3779b9
const W1 = 0xbb67ae85
const ROUNDS = 10
const TO_UNIT = 2 ** -24

/** Upper 32 bits of the product of two uint32. */
export function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const lowProduct = aLow * bLow
  // Every product and sum below is under 2^32, so exact in a double; bit shifts would cut it to a signed int32.
  const middle = aHigh * bLow + Math.floor(lowProduct / 0x10000)
  const cross = aLow * bHigh + (middle % 0x10000)
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(cross / 0x10000)) >>> 0
}

/** Writes the four words of the block with counter (c0, c1, c2, c3) under key (k0, k1) to `out[offset … offset+3]`. */
export function philox4x32(
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
  out: Uint32Array,
  offset = 0,
): void {
  let [x0, x1, x2, x3] = [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0]
  let [key0, key1] = [k0 >>> 0, k1 >>> 0]
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(M0, x0)
    const low0 = Math.imul(M0, x0)
    const high1 = multiplyHigh(M1, x2)
    const low1 = Math.imul(M1, x2)
    x0 = (high1 ^ x1 ^ key0) >>> 0
    x1 = low1 >>> 0
    x2 = (high0 ^ x3 ^ key1) >>> 0
    x3 = low0 >>> 0
    key0 = (key0 + W0) >>> 0
    key1 = (key1 + W1) >>> 0
  }
  out[offset] = x0
  out[offset + 1] = x1
  out[offset + 2] = x2
  out[offset + 3] = x3
}

/** The first `count` words of the fill stream of key (k0, k1): element n is word n mod 4 of block ⌊n/4⌋. */
export function fillWords(k0: number, k1: number, count: number): Uint32Array {
  const blocks = Math.ceil(count / 4)
  const words = new Uint32Array(blocks * 4)
  for (let block = 0; block < blocks; block++) {
    philox4x32(block, Math.floor(block / 2 ** 32), 0, 0, k0, k1, words, block * 4)
  }
  return words.subarray(0, count)
}

/** A word as a uniform number in [0, 1), a multiple of 2^-24 (exact in f32). */
export function wordToUniform(word: number): number {
  return (word >>> 8) * TO_UNIT
}

/** Two words as two independent standard normal numbers (Box-Muller), evaluated in float64. */
export function wordsToNormals(first: number, second: number): [number, number] {
  const radius = Math.sqrt(-2 * Math.log(((first >>> 8) + 1) * TO_UNIT))
  const angle = 2 * Math.PI * (second >>> 8) * TO_UNIT
  return [radius * Math.cos(angle), radius * Math.sin(angle)]
}

/** The first `count` standard normal numbers of the fill stream of key (k0, k1), in float64. */
export function fillNormals(k0: number, k1: number, count: number): Float64Array {
  const words = fillWords(k0, k1, Math.ceil(count / 2) * 2)
  const normals = new Float64Array(words.length)
  for (let n = 0; n < words.length; n += 2) {
    const [even, odd] = wordsToNormals(words[n], words[n + 1])
    normals[n] = even
    normals[n + 1] = odd
  }
  return normals.subarray(0, count)
}

/**
 * Lane threshold of dropout probability `p` (0 ≤ p < 1; halves round up): a lane below it is dropped, so the quantised
 * keep rate is (65536 − threshold) / 65536.
 */
export function dropoutThreshold(p: number): number {
  return Math.round(p * 65536)
}

/** The 16-bit dropout lanes of attention row (b, h, i) for keys j = 0 … length−1, under key (k0, k1). */
export function attentionDropoutLanes(
  k0: number,
  k1: number,
  b: number,
  h: number,
  i: number,
  length: number,
): Uint16Array {
  const words = new Uint32Array(4)
  const lanes = new Uint16Array(length)
  for (let j = 0; j < length; j++) {
    const lane = j & 7
    if (lane === 0) philox4x32(j >>> 3, i, h, b, k0, k1, words)
    lanes[j] = words[lane >> 1] >>> ((lane & 1) * 16)
  }
  return lanes
}
