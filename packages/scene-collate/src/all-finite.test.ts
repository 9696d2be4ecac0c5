import { expect, test } from 'vitest'
import { allFinite, everyFinite, openBlockCheck } from './all-finite'

const SIZES = [0, 1, 3, 4, 7, 59, 147, 4095, 4096, 4097, 8195]

test.each([
  ['WebAssembly', allFinite],
  ['a plain loop', everyFinite],
])('%s finds a single NaN or infinity at any place, of any sign and payload', (_, finite) => {
  const bad = Float32Array.of(NaN, Infinity, -Infinity, 0, 0, 0)
  // A signalling NaN, one with the sign set, one with the smallest payload.
  new Uint32Array(bad.buffer).set([0x7fa00000, 0xffffffff, 0x7f800001], 3)
  const bits = new Uint32Array(bad.buffer)
  for (const size of SIZES) {
    const data = new Float32Array(size)
    const dataBits = new Uint32Array(data.buffer)
    for (let at = 0; at < size; at += size > 200 ? 61 : 1)
      for (const value of bits) {
        dataBits[at] = value
        expect(finite(data), `size ${size}, entry ${at}`).toBe(false)
        dataBits[at] = 0
      }
    if (size > 0) {
      dataBits[size - 1] = bits[5]
      expect(finite(data)).toBe(false)
    }
  }
})

test.each([
  ['WebAssembly', allFinite],
  ['a plain loop', everyFinite],
])('%s takes the largest, smallest and negative numbers for finite, whatever lies around the array', (_, finite) => {
  const values = Float32Array.of(3.4028234663852886e38, -3.4028234663852886e38, 1e-45, -1e-45, 0, -0, 1, -1)
  for (const size of SIZES) {
    const around = new Float32Array(size + 2).fill(NaN)
    const data = around.subarray(1, size + 1)
    for (let i = 0; i < size; i++) data[i] = values[i % values.length]
    expect(finite(data), `size ${size}`).toBe(true)
  }
})

test('what an array before held has no influence', () => {
  expect(allFinite(new Float32Array(4096).fill(NaN))).toBe(false)
  expect(allFinite(new Float32Array(1))).toBe(true)
})

test('the WebAssembly is valid, and used', () => {
  expect(openBlockCheck()).toBeDefined()
})
