// Numbers that Python (hash_values.py, which says the formulas) and TypeScript compute alike, bit for bit, so that
// fixtures need not store their inputs.

/** In [0, 1), multiples of 2^-24. */
export function hashUniform(name: string, count: number): Float64Array {
  const seed = fnv1a(name)
  return Float64Array.from({ length: count }, (_, i) => {
    let x = (seed + Math.imul(i, 0x9e3779b9)) >>> 0
    x ^= x >>> 16
    x = Math.imul(x, 0x85ebca6b)
    x ^= x >>> 13
    x = Math.imul(x, 0xc2b2ae35)
    x ^= x >>> 16
    return (x >>> 8) * 2 ** -24
  })
}

/** Roughly standard normal. */
export function hashNormal(name: string, shape: readonly number[]): Float32Array {
  const parts = [0, 1, 2, 3].map(part => hashUniform(`${name}#${part}`, elements(shape)))
  return Float32Array.from(parts[0], (first, i) => (first + parts[1][i] + parts[2][i] + parts[3][i] - 2) * Math.sqrt(3))
}

/** Integers in [0, below). */
export function hashIntegers(name: string, count: number, below: number): Int32Array {
  return Int32Array.from(hashUniform(name, count), u => Math.floor(u * below))
}

/** A weight of this shape: never zero, and of a size that keeps activations near 1. */
export function hashWeight(name: string, shape: readonly number[]): Float32Array {
  const scale = shape.length > 1 ? Math.sqrt(3 / elements(shape.slice(1))) : 0.2
  return Float32Array.from(hashUniform(name, elements(shape)), u => scale * (2 * u - 1))
}

/**
 * A linear sketch of a tensor: each entry goes with a hashed sign into a hashed bucket. The sketch of a difference has its
 * norm up to a few percent (Charikar, Chen & Farach-Colton 2002).
 */
export function countSketch(name: string, values: ArrayLike<number>, buckets: number): Float64Array {
  const bucket = hashIntegers(`${name}/bucket`, values.length, buckets)
  const sign = hashUniform(`${name}/sign`, values.length)
  const sketch = new Float64Array(buckets)
  for (let i = 0; i < values.length; i++) sketch[bucket[i]] += sign[i] < 0.5 ? -values[i] : values[i]
  return sketch
}

function fnv1a(name: string): number {
  let h = 2166136261
  for (const byte of new TextEncoder().encode(name)) h = Math.imul(h ^ byte, 16777619) >>> 0
  return h
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}
