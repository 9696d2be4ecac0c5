import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { expected, expectTensor, fixtureBytes } from '../../test/fixtures'
import { CheckpointError } from '../errors'
import { bytesSource } from '../source'
import { toFloat32 } from '../to-float32'
import { openSafetensors, parseSafetensors } from './read'

const bytes = fixtureBytes('dtypes.safetensors')

/** A file with any header text and as many data bytes as asked. */
function fileWith(header: string | Uint8Array, dataBytes = 0, claimed?: bigint): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header
  const file = new Uint8Array(8 + text.length + dataBytes)
  new DataView(file.buffer).setBigUint64(0, claimed ?? BigInt(text.length), true)
  file.set(text, 8)
  return file
}

const entry = (shape: string, offsets: string, dtype = 'F32') =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`

describe('files written by the safetensors library', () => {
  test('every dtype reads as PyTorch holds it', async () => {
    const tensors = await parseSafetensors(bytes)
    expect(tensors.size).toBe(16)
    for (const [name, record] of tensors) {
      const isFloat16 = record.dtype.includes('f16') || record.dtype.startsWith('f8')
      expectTensor(record, expected['dtypes.pt']![name]!, isFloat16 ? toFloat32(record) : record.data)
    }
    expect([...tensors.metadata]).toEqual([['format', 'pt']])
  })

  test('opening reads the header only, and read() the bytes of that tensor only', async () => {
    const ranges: [number, number][] = []
    const inner = bytesSource(bytes)
    const source = {
      size: inner.size,
      read: (offset: number, length: number) => {
        ranges.push([offset, length])
        return inner.read(offset, length)
      },
    }
    const reader = await openSafetensors(source)
    const header = Number(new DataView(bytes.buffer).getBigUint64(0, true))
    expect(ranges).toEqual([
      [0, 8],
      [8, header],
    ])
    expect(reader.info('f32')).toEqual({ shape: [2, 3], dtype: 'f32', bytes: 24 })
    await reader.read('f32')
    expect(ranges[2]![1]).toBe(24)
  })

  test('a Blob is read too', async () => {
    const reader = await openSafetensors(new Blob([bytes as Uint8Array<ArrayBuffer>]))
    expect((await reader.read('i32')).data).toEqual(Int32Array.of(1, -2, 3, -128, 0, 127))
  })

  test('what was read does not share memory with the input, even with a Node Buffer', async () => {
    const input = Buffer.from(bytes)
    const tensors = await parseSafetensors(input)
    const before = [...(tensors.get('i32')!.data as Int32Array)]
    input.fill(0)
    expect([...(tensors.get('i32')!.data as Int32Array)]).toEqual(before)
  })

  test('a missing tensor is named together with what there is', async () => {
    const reader = await openSafetensors(bytes)
    await expect(reader.read('nope')).rejects.toThrow(/tensor "nope": no such tensor; it has 16 tensors: "/)
    expect(() => reader.info('__proto__')).toThrow(CheckpointError)
  })
})

describe('headers within the format', () => {
  test('names that JavaScript objects treat specially are ordinary names', async () => {
    const names = ['__proto__', 'constructor', 'toString', '']
    const members = names.map((name, i) => `${JSON.stringify(name)}:${entry('[1]', `[${i},${i + 1}]`, 'U8')}`)
    const tensors = await parseSafetensors(fileWith(`{${members.join(',')}}  `, 4))
    expect([...tensors.keys()]).toEqual(names)
    expect(Object.getPrototypeOf({})).toBe(Object.prototype)
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })

  test('data that is not aligned to its element size is read right', async () => {
    const file = fileWith(`{"a":${entry('[1]', '[0,1]', 'U8')},"b":${entry('[2]', '[1,9]')}}`, 9)
    new DataView(file.buffer).setFloat32(file.length - 8, 1.5, true)
    new DataView(file.buffer).setFloat32(file.length - 4, -2, true)
    expect([...((await parseSafetensors(file)).get('b')!.data as Float32Array)]).toEqual([1.5, -2])
  })

  test('an empty file has no tensors', async () => {
    expect((await parseSafetensors(fileWith('{}'))).size).toBe(0)
    expect((await parseSafetensors(fileWith(`{"e":${entry('[0,4]', '[0,0]')}}`))).get('e')!.shape).toEqual([0, 4])
  })
})

describe('malformed and hostile files are refused with the reason', () => {
  const deep = `{"a":${'['.repeat(100_000)}`
  const cases: [string, Uint8Array, RegExp][] = [
    ['empty file', new Uint8Array(), /header length ends at byte 8, but the file has 0 bytes.*fetch it again/],
    [
      'huge header length',
      fileWith('{}', 0, 2n ** 63n),
      /claims 9223372036854775808 bytes, expected at most 100000000/,
    ],
    ['header longer than the file', fileWith('{}', 0, 50n), /claims 50 bytes/],
    ['not JSON', fileWith('hello'), /expected "\{", got "hello".*not a safetensors file/],
    ['not UTF-8', fileWith(Uint8Array.of(0x7b, 0xff, 0x7d)), /not UTF-8/],
    ['nested deeply', fileWith(deep), /expected "\{"/],
    ['text after the header', fileWith('{}x'), /expected the end of the header/],
    ['unterminated string', fileWith('{"abc'), /end of a string/],
    ['bad escape', fileWith('{"a\\x":1}'), /valid JSON string/],
    ['duplicate name', fileWith(`{"a":${entry('[1]', '[0,4]')},"\\u0061":${entry('[1]', '[0,4]')}}`, 4), /"a" twice/],
    ['duplicate metadata', fileWith('{"__metadata__":{},"__metadata__":{}}'), /"__metadata__" twice/],
    ['metadata key twice', fileWith('{"__metadata__":{"a":"1","a":"2"}}'), /metadata gives "a" twice/],
    [
      'too many names',
      fileWith(`{"__metadata__":{${Array.from({ length: 1_000_001 }, (_, i) => `"${i}":""`).join(',')}}}`),
      /at most 1000000 members/,
    ],
    ['metadata not text', fileWith('{"__metadata__":{"a":1}}'), /expected a string/],
    ['unknown dtype', fileWith(`{"a":${entry('[1]', '[0,4]', 'F31')}}`, 4), /tensor "a": dtype "F31" is not supported/],
    ['negative shape', fileWith(`{"a":${entry('[-1]', '[0,4]')}}`, 4), /non-negative integer/],
    ['fractional shape', fileWith(`{"a":${entry('[1.5]', '[0,4]')}}`, 4), /expected "\]"/],
    ['exponent in shape', fileWith(`{"a":${entry('[1e3]', '[0,4]')}}`, 4), /expected "\]"/],
    ['too many axes', fileWith(`{"a":${entry(`[${'1,'.repeat(64)}1]`, '[0,4]')}}`, 4), /at most 64/],
    [
      'shape product overflow',
      fileWith(`{"a":${entry('[4294967296,4294967296]', '[0,0]')}}`),
      /more than 2\^53 elements/,
    ],
    ['overflow hidden by 0', fileWith(`{"a":${entry('[4294967296,4294967296,0]', '[0,0]')}}`), /more than 2\^53/],
    ['size against dtype', fileWith(`{"a":${entry('[2]', '[0,4]')}}`, 4), /f32 \[2\] takes 8 bytes, but .* span 4/],
    ['reversed offsets', fileWith(`{"a":${entry('[1]', '[4,0]')}}`, 4), /must be \[begin, end\], got \[4, 0\]/],
    ['one offset', fileWith(`{"a":${entry('[1]', '[4]')}}`, 4), /must be \[begin, end\]/],
    ['out of range', fileWith(`{"a":${entry('[2]', '[0,8]')}}`, 4), /tensor "a".*leave the file, which has 4 bytes/],
    [
      'overlap',
      fileWith(`{"a":${entry('[1]', '[0,4]')},"b":${entry('[1]', '[2,6]')}}`, 6),
      /"b".*overlap another tensor/,
    ],
    ['same bytes twice', fileWith(`{"a":${entry('[1]', '[0,4]')},"b":${entry('[1]', '[0,4]')}}`, 4), /overlap/],
    ['gap', fileWith(`{"a":${entry('[1]', '[4,8]')}}`, 8), /leave a gap: expected to begin at 0/],
    [
      'trailing bytes',
      fileWith(`{"a":${entry('[1]', '[0,4]')}}`, 5),
      /end at byte 4 of the data, but the file holds 5/,
    ],
    ['missing key', fileWith('{"a":{"dtype":"F32","shape":[]}}'), /lacks "data_offsets"/],
    ['unknown key', fileWith('{"a":{"extra":"F32"}}'), /unknown key "extra"/],
    ['key twice', fileWith('{"a":{"dtype":"F32","dtype":"F32"}}'), /gives "dtype" twice/],
  ]
  test.each(cases)('%s', async (_, file, message) => {
    await expect(openSafetensors(bytesSource(file, 'x.safetensors'))).rejects.toThrow(CheckpointError)
    await expect(openSafetensors(bytesSource(file, 'x.safetensors'))).rejects.toThrow(message)
    await expect(openSafetensors(bytesSource(file, 'x.safetensors'))).rejects.toThrow(/^x\.safetensors: /)
  })

  test('every truncation of a good file', async () => {
    for (let length = 0; length < bytes.length; length += 7)
      await expect(parseSafetensors(bytes.subarray(0, length))).rejects.toThrow(CheckpointError)
  })

  test('mutations of a good file are read or refused, and do nothing else', async () => {
    const change = fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 }))
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), async changes => {
        const mutated = bytes.slice()
        for (const [at, value] of changes) mutated[at] = value
        await parseSafetensors(mutated).catch(error => {
          if (!(error instanceof CheckpointError)) throw error
        })
      }),
      { numRuns: 2000 },
    )
  })

  test('a source that ends early is noticed', async () => {
    const lying = { size: bytes.length, read: async () => new Uint8Array(3) }
    await expect(openSafetensors(lying)).rejects.toThrow(/asked for 8 bytes at 0, got 3/)
  })
})
