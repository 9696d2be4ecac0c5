import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { anyTensor, bitsOf } from '../../test/values'
import { CheckpointError } from '../errors'
import type { TensorInput, TensorSource } from '../tensor-record'
import { openSafetensors, parseSafetensors } from './read'
import { safetensorsChunks, serializeSafetensors } from './write'

const one: TensorInput = { shape: [1], dtype: 'f32', data: Float32Array.of(1) }
const anyName = fc.string({ unit: 'binary' }).filter(name => name !== '__metadata__' && !/\p{Surrogate}/u.test(name))

test('whatever is written reads back bit for bit', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.tuple(anyName, anyTensor), { selector: ([name]) => name, maxLength: 6 }),
      fc.dictionary(anyName, anyName, { maxKeys: 3 }),
      async (tensors, metadata) => {
        const back = await parseSafetensors(serializeSafetensors(tensors, { metadata }))
        expect(new Set(back.keys())).toEqual(new Set(tensors.map(([name]) => name)))
        for (const [name, tensor] of tensors) {
          const read = back.get(name)!
          expect([read.dtype, read.shape]).toEqual([tensor.dtype, tensor.shape])
          expect(bitsOf(read)).toEqual(bitsOf(tensor))
        }
        expect([...back.metadata]).toEqual(Object.entries(metadata))
      },
    ),
    { numRuns: 200 },
  )
})

test('data begins on an 8-byte boundary and every tensor on one of its element size', async () => {
  const file = serializeSafetensors({
    a: { shape: [3], dtype: 'u8', data: Uint8Array.of(1, 2, 3) },
    b: one,
    c: { shape: [1], dtype: 'i64', data: BigInt64Array.of(-5n) },
  })
  const header = Number(new DataView(file.buffer).getBigUint64(0, true))
  expect(header % 8).toBe(0)
  const parsed = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + header)))
  expect(parsed.c.data_offsets).toEqual([0, 8])
  expect(parsed.b.data_offsets).toEqual([8, 12])
  expect(parsed.a.data_offsets).toEqual([12, 15])
})

test('streaming lazy tensors gives the same bytes and holds one tensor at a time', async () => {
  let delivered = 0
  let reads = 0
  const lazy = (value: number): TensorSource => ({
    shape: [2],
    dtype: 'f32',
    read: async () => {
      expect(delivered).toBe(reads)
      reads++
      return { shape: [2], dtype: 'f32', data: Float32Array.of(value, value) }
    },
  })
  const chunks: Uint8Array[] = []
  for await (const chunk of safetensorsChunks({ a: lazy(1), b: lazy(2) })) {
    if (chunks.length > 0) delivered++
    chunks.push(chunk)
  }
  const whole = serializeSafetensors({
    a: { shape: [2], dtype: 'f32', data: Float32Array.of(1, 1) },
    b: { shape: [2], dtype: 'f32', data: Float32Array.of(2, 2) },
  })
  expect(Buffer.concat(chunks)).toEqual(Buffer.from(whole))
})

test('a file passes through lazily and unchanged', async () => {
  const file = serializeSafetensors({ one, two: one })
  const chunks: Uint8Array[] = []
  for await (const chunk of safetensorsChunks((await openSafetensors(file)).tensors())) chunks.push(chunk)
  expect(Buffer.concat(chunks)).toEqual(Buffer.from(file))
})

describe('what cannot be written is refused by name', () => {
  const bad = (tensor: object): TensorInput => tensor as TensorInput
  const cases: [string, () => unknown, RegExp][] = [
    [
      'length against shape',
      () => serializeSafetensors({ a: { ...one, shape: [2] } }),
      /"a": shape \[2\] needs 2 entries/,
    ],
    ['array against dtype', () => serializeSafetensors({ a: bad({ ...one, dtype: 'i32' }) }), /must be a Int32Array/],
    [
      'f16 as float32',
      () => serializeSafetensors({ a: bad({ ...one, dtype: 'f16' }) }),
      /Uint16Array, got Float32Array/,
    ],
    [
      'unknown dtype',
      () => serializeSafetensors({ a: bad({ ...one, dtype: 'f31' }) }),
      /f31 is unknown, expected one of/,
    ],
    ['negative shape', () => serializeSafetensors({ a: { ...one, shape: [-1] } }), /non-negative/],
    ['no shape', () => serializeSafetensors({ a: bad({}) }), /expected \{ shape, dtype, data \}/],
    ['null', () => serializeSafetensors({ a: null as unknown as TensorInput }), /expected \{ shape, dtype, data \}/],
    [
      'name twice',
      () =>
        serializeSafetensors([
          ['a', one],
          ['a', one],
        ]),
      /name given twice/,
    ],
    ['reserved name', () => serializeSafetensors({ __metadata__: one }), /reserved/],
    ['lone surrogate', () => serializeSafetensors({ '\ud800': one }), /lone surrogate/],
    [
      'metadata of another type',
      () => serializeSafetensors({}, { metadata: bad({ a: 1 }) as never }),
      /must be a string/,
    ],
  ]
  test.each(cases)('%s', (_, write, message) => {
    expect(write).toThrow(CheckpointError)
    expect(write).toThrow(message)
  })

  test('a lazy tensor that delivers something else than announced', async () => {
    const lazy: TensorSource = { shape: [2], dtype: 'f32', read: async () => one as never }
    const drain = async () => {
      for await (const _ of safetensorsChunks({ a: lazy }));
    }
    await expect(drain()).rejects.toThrow(/"a": read\(\) gave f32 \[1\], but f32 \[2\] was announced/)
  })
})
