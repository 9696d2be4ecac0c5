import { crc32 as zlibCrc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { anyTensor, bitsOf } from '../../test/values'
import { CheckpointError } from '../errors'
import type { TensorInput } from '../tensor-record'
import { crc32 } from './crc32'
import { encodeTree, type PtInput } from './pickle-writer'
import { parsePt, stateDict } from './read'
import type { PtTensor } from './tensor'
import { PtObject } from './values'
import { serializePt } from './write'

const anyText = fc.string({ unit: 'binary' }).filter(value => !/\p{Surrogate}/u.test(value))
const anyLeaf = fc.oneof(fc.constant(null), fc.boolean(), fc.maxSafeInteger(), fc.double(), fc.bigInt(), anyText)
const { tree: anyTree } = fc.letrec<{ tree: PtInput }>(tie => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    anyLeaf,
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.array(fc.tuple(anyText, tie('tree')), { maxLength: 4 }).map(entries => new Map(entries)),
    fc.uniqueArray(fc.integer(), { maxLength: 4 }).map(items => new Set(items)),
  ),
}))

/** A bigint that fits a number comes back as one, as every Python int does. */
function normalised(value: PtInput): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value
  if (Array.isArray(value)) return value.map(normalised)
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, normalised(item)]))
  return value
}

test('plain trees read back as they were', async () => {
  await fc.assert(
    fc.asyncProperty(anyTree, async tree => {
      expect(await parsePt(await serializePt(tree))).toEqual(normalised(tree))
    }),
    { numRuns: 300 },
  )
})

test('tensors of every dtype and shape read back bit for bit', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyTensor, { maxLength: 5 }), async tensors => {
      const back = (await parsePt(await serializePt(tensors))) as PtTensor[]
      expect(back).toHaveLength(tensors.length)
      for (const [i, tensor] of tensors.entries()) {
        const read = await back[i]!.read()
        expect([read.dtype, read.shape]).toEqual([tensor.dtype, tensor.shape])
        expect(bitsOf(read)).toEqual(bitsOf(tensor))
      }
    }),
    { numRuns: 200 },
  )
})

test('plain objects and Maps become dicts, in order, with keys of any plain type', async () => {
  const value = { b: 1, a: new Map<number | string, PtInput>([[7, 'seven']]), nothing: Object.create(null) }
  expect(await parsePt(await serializePt(value))).toEqual(
    new Map<string, unknown>([
      ['b', 1],
      ['a', new Map([[7, 'seven']])],
      ['nothing', new Map()],
    ]),
  )
})

test('numbers keep their kind: -0, NaN, infinities, the ends of each integer width', async () => {
  const values = [
    -0,
    0,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    255,
    256,
    -1,
    2 ** 31 - 1,
    2 ** 31,
    -(2 ** 31),
    -(2 ** 31) - 1,
  ]
  const large = [2n ** 63n, -(2n ** 63n), 2n ** 64n, 127n * 2n ** 56n, 128n * 2n ** 56n, -(2n ** 255n)]
  expect(await parsePt(await serializePt([...values, ...large]))).toEqual([...values, ...large])
})

test('tensors over one array share one storage, and other dtypes over it get their own', async () => {
  const data = Uint16Array.of(1, 2)
  const half: TensorInput = { shape: [2], dtype: 'f16', data }
  const file = await serializePt({ a: half, b: { shape: [1, 2], dtype: 'f16', data }, c: { ...half, dtype: 'bf16' } })
  const tensors = stateDict(await parsePt(file))
  expect([...tensors.values()].map(tensor => tensor.storage.key)).toEqual(['0', '0', '1'])
  expect((await tensors.get('b')!.read()).data).toEqual(data)
})

test('a container met twice is no cycle, and is written twice', async () => {
  const shared = [1]
  expect(await parsePt(await serializePt([shared, shared]))).toEqual([[1], [1]])
})

test('equal content gives equal files', async () => {
  const value = { w: { shape: [1], dtype: 'f32', data: Float32Array.of(1) } satisfies TensorInput }
  expect(await serializePt(value)).toEqual(await serializePt(value))
})

test('tensor data begins on 64-byte boundaries, so that PyTorch can map it', async () => {
  const data = Float32Array.of(1.25, 2.5)
  const file = Buffer.from(await serializePt({ a: { shape: [2], dtype: 'f32', data }, b: 'x'.repeat(77) }))
  const at = file.indexOf(Buffer.from(data.buffer))
  expect(at).toBeGreaterThan(0)
  expect(at % 64).toBe(0)
})

test('a .pt read lazily can be written straight on', async () => {
  const first = await serializePt({ w: { shape: [2], dtype: 'i64', data: BigInt64Array.of(1n, -2n) } })
  const tree = await parsePt(first)
  const again = await parsePt(await serializePt(tree as PtInput))
  expect((await stateDict(again).get('w')!.read()).data).toEqual(BigInt64Array.of(1n, -2n))
})

test('the checksum is the one of zlib, at any length and continued at any place', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (data, cut) => {
      expect(crc32(data, 0)).toBe(zlibCrc32(data))
      expect(crc32(data.subarray(cut), crc32(data.subarray(0, cut), 0))).toBe(zlibCrc32(data))
    }),
  )
})

describe('what cannot be written is refused by its place', () => {
  const loop: PtInput[] = []
  loop.push(loop)
  let deep: PtInput = []
  for (let i = 0; i < 600; i++) deep = [deep]
  const f32: TensorInput = { shape: [1], dtype: 'f32', data: Float32Array.of(1) }
  const cases: [string, unknown, RegExp][] = [
    ['a cycle', { a: loop }, /"a\[0\]".*contains itself/],
    ['deep nesting', deep, /nested more than 500 deep/],
    ['undefined', { a: { b: undefined } }, /"a\.b".*is undefined: write null, or leave it out/],
    ['a function', { a: () => 1 }, /"a".*is function/],
    ['a bare typed array', { a: Float32Array.of(1) }, /"a".*is a Float32Array: write \{ shape, dtype, data \}/],
    ['a class instance', { a: new Date() }, /"a".*is a Date: write its fields/],
    ['a lone surrogate', { a: '\ud800' }, /lone surrogate/],
    ['an integer beyond 255 bytes', { a: 2n ** 2040n }, /"a".*more than 255 bytes/],
    [
      'a tensor of another length',
      { a: { ...f32, shape: [3] } },
      /tensor "a": shape \[3\] needs 3 entries, data has 1/,
    ],
    [
      'a tensor of another array',
      { a: [{ ...f32, dtype: 'i64' }] },
      /tensor "a\[0\]": i64 data must be a BigInt64Array/,
    ],
    ['a tensor of no known dtype', { a: { ...f32, dtype: 'float' } }, /dtype float is unknown/],
  ]
  test.each(cases)('%s', (_, value, message) => {
    expect(() => encodeTree(value as PtInput)).toThrow(CheckpointError)
    expect(() => encodeTree(value as PtInput)).toThrow(message)
  })

  test('an inert record: there is nothing to rebuild it from', () => {
    expect(() => encodeTree({ object: new PtObject('a.B', []) } as unknown as PtInput)).toThrow(
      /"object".*is a PtObject/,
    )
  })
})
