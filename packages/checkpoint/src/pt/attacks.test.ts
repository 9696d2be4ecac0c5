import { existsSync } from 'node:fs'
import { BlobWriter, Uint8ArrayReader, ZipWriter } from '@zip.js/zip.js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { archive, bytes, cls, int, pickle, tensor, text, tuple, u32, u64, zip } from '../../test/archives'
import { fixtureBytes } from '../../test/fixtures'
import { CheckpointError } from '../errors'
import { bytesSource } from '../source'
import { parsePt } from './read'
import { PtTensor } from './tensor'
import { PtObject, type PtValue } from './values'

const load = async (data: Uint8Array, options = {}) => parsePt(bytesSource(await archive(data), 'x.pt'), options)

async function expectRefusal(attempt: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(CheckpointError)
  expect((error as CheckpointError).message).toMatch(message)
}

describe('pickled code is never executed', () => {
  test('os.system in a real torch.save file becomes an inert record', async () => {
    const tree = (await parsePt(fixtureBytes('attack.pt'))) as Map<PtValue, PtValue>
    const call = tree.get('x') as PtObject
    expect(call).toBeInstanceOf(PtObject)
    expect([call.className, call.args]).toEqual(['posix.system', ['touch PWNED']])
    expect(existsSync('PWNED')).toBe(false)
    expect(tree.get('w')).toBeInstanceOf(PtTensor)
  })

  test('names of JavaScript built-ins are names only', async () => {
    for (const [module, name] of [
      ['builtins', 'eval'],
      ['globalThis', 'Function'],
      ['__proto__', 'constructor'],
    ] as const) {
      const value = await load(pickle(cls(module, name), tuple(text('1')), 'R'))
      expect((value as PtObject).className).toBe(`${module}.${name}`)
    }
  })

  test('keyword arguments are kept, and even a known class is inert with them', async () => {
    const kwargs = bytes('}', text('key'), int(1), 's')
    const value = (await load(pickle(cls('collections', 'OrderedDict'), ')', kwargs, 0x92))) as PtObject
    expect([value.className, value.kwargs]).toEqual(['collections.OrderedDict', new Map([['key', 1]])])
  })

  test('state named __proto__ pollutes nothing', async () => {
    const state = bytes('}', text('__proto__'), '}', text('polluted'), 0x88, 's', 's')
    const value = (await load(pickle(cls('a', 'B'), ')', 0x81, state, 'b'))) as PtObject
    expect(Object.getPrototypeOf(value)).toBe(PtObject.prototype)
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })
})

describe('hostile pickles are refused with the reason', () => {
  const cases: [string, Uint8Array, RegExp][] = [
    ['unknown opcode', pickle(0xff), /^x\.pt: data\.pkl has opcode 0xff/],
    ['protocol 0', bytes('N.'), /protocol 2 to 5 header/],
    ['protocol 9', bytes(0x80, 9, 'N.'), /protocol 9, expected 2 to 5/],
    ['no end', bytes(0x80, 2, 'N'), /needs 1 bytes where 0 remain/],
    ['empty stack', pickle(), /empty stack/],
    ['append to nothing', pickle('a'), /empty stack/],
    ['mark never set', pickle('t'), /never begun/],
    ['tuple from too little', pickle('N', 0x86), /empty stack/],
    ['append to a tuple', pickle(')', 'N', 'a'), /appends to a tuple of 0/],
    ['set a key of a list', pickle(']', 'N', 'N', 's'), /sets a key of a list of 0/],
    ['add items to a list', pickle(']', '(', 'N', 0x90), /adds items to a list/],
    ['odd number of dict items', pickle('}', '(', 'N', 'u'), /key without a value/],
    ['state on a number', pickle('K', 1, '}', 'b'), /sets state on the number 1/],
    ['call of a value', pickle(int(1), ')', 'R'), /calls the number 1, which is no class/],
    ['call with no tuple', pickle(cls('a', 'b'), 'N', 'R'), /calls a\.b with None/],
    ['keyword arguments of a number', pickle(cls('a', 'b'), ')', 'K', 1, 0x92), /for keyword arguments/],
    ['class named by numbers', pickle('K', 1, 'K', 2, 0x93), /names a class by the number 1/],
    ['class without an end', bytes(0x80, 2, 'cos'), /class name without an end/],
    ['memo never stored', pickle('h', 7), /recalls 7, which was never stored/],
    ['string longer than the file', pickle('X', u32(2 ** 31)), /more than 268435456 bytes/],
    ['bytes longer than the file', pickle(0x8e, u64(2n ** 63n)), /builds objects of more/],
    ['string a little longer', pickle('X', u32(50)), /needs 50 bytes where 1 remain/],
    ['string not UTF-8', pickle('X', u32(1), 0xff), /not UTF-8/],
    ['huge LONG4', pickle(0x8b, u32(2 ** 31)), /integer of 2147483648 bytes, expected at most 4096/],
    ['long LONG4', pickle(0x8b, u32(5000), new Uint8Array(5000)), /integer of 5000 bytes/],
    ['out-of-band buffer', pickle(0x97), /opcode 0x97/],
    ['extension registry', pickle(0x82, 1), /opcode 0x82/],
    [
      'persistent id a string',
      pickle(text('storage'), 'Q'),
      /persistent id of the string "storage", expected a storage/,
    ],
    ['persistent id too short', pickle(tuple(text('storage')), 'Q'), /persistent id of a tuple of 1/],
    ['persistent id of wrong parts', pickle(tuple(text('storage'), 'N', 'N', 'N', 'N'), 'Q'), /malformed storage id/],
    [
      'storage class unknown',
      pickle(tuple(text('storage'), cls('os', 'system'), text('0'), text('cpu'), int(1)), 'Q'),
      /names "os\.system" as a storage class/,
    ],
    ['missing storage', pickle(tensor([1], [1], { key: '../../etc/passwd' })), /record "data\/\.\.\/.*missing/],
    ['storage larger than its record', pickle(tensor([1], [1], { count: 7 })), /28 bytes, its record has 24/],
    ['window leaves the storage', pickle(tensor([2, 3], [3, 2])), /reaches element 8, but the storage has 6 f32/],
    ['offset leaves the storage', pickle(tensor([1], [1], { offset: 6 })), /from 6 reaches element 7/],
    ['negative offset', pickle(tensor([1], [1], { offset: -1 })), /non-negative offset, got .*offset -1/],
    ['negative shape', pickle(tensor([-1], [1])), /non-negative integers, got -1/],
    ['negative stride', pickle(tensor([2], [-1])), /non-negative stride/],
    ['strides of another rank', pickle(tensor([2], [1, 1])), /one non-negative stride per axis/],
    ['shape product overflow', pickle(tensor([2 ** 30, 2 ** 30, 2 ** 30], [0, 0, 0])), /more than 2\^53 elements/],
    ['expanded to terabytes', pickle(tensor([2 ** 20, 2 ** 20], [0, 0])), /expands 24 bytes to 4398046511104/],
    [
      'too many axes',
      pickle(tensor(new Array(65).fill(1), new Array(65).fill(1))),
      /rebuilds a tensor from .*tuple of 65/,
    ],
    ['tensor from nothing', pickle(cls('torch._utils', '_rebuild_tensor_v2'), ')', 'R'), /rebuilds a tensor from/],
  ]
  test.each(cases)('%s', (_, data, message) => expectRefusal(load(data), message))
})

describe('what would exhaust memory or time is refused', () => {
  const repeated = (part: Uint8Array, count: number) => {
    const out = new Uint8Array(part.length * count)
    for (let i = 0; i < count; i++) out.set(part, i * part.length)
    return out
  }
  const budget = { maxObjectBytes: 2 ** 24 }
  const flood = (prefix: Uint8Array, part: Uint8Array, count = 400_000) =>
    new Uint8Array(Buffer.concat([bytes(0x80, 2), prefix, repeated(part, count), bytes('.')]))

  test.each<[string, Uint8Array]>([
    ['lists', flood(bytes(), bytes(']'))],
    ['dicts', flood(bytes(), bytes('}'))],
    ['marks', flood(bytes(), bytes('('))],
    ['values', flood(bytes(), bytes('N'), 2_000_000)],
    ['memo entries', flood(bytes('N'), bytes(0x94))],
    ['classes', flood(bytes(), cls('a', 'b'))],
  ])('a flood of %s', (_, data) => expectRefusal(load(data, budget), /raise maxObjectBytes/))

  test('sets copied over and over from one list', async () => {
    const list = bytes('](', repeated(bytes('N'), 10_000), 'e', 'q', 0)
    const copies = repeated(bytes(cls('builtins', 'set'), 'h', 0, 0x85, 'R0'), 10_000)
    await expectRefusal(load(pickle(list, copies), budget), /raise maxObjectBytes/)
  })

  test('a pickle larger than the bound is not even read', async () => {
    await expectRefusal(load(new Uint8Array(2000), { maxObjectBytes: 1000 }), /data\.pkl has 2000 bytes, at most 1000/)
  })

  test('nesting a hundred thousand deep reads without recursion', async () => {
    const depth = 100_000
    let value = await load(pickle(repeated(bytes(']'), depth), repeated(bytes('a'), depth - 1)))
    for (let i = 1; i < depth; i++) value = (value as PtValue[])[0]!
    expect(value).toEqual([])
  })

  test('lists that double 64 times by sharing stay shared', async () => {
    const level = bytes('q', 0, '0', '](', 'h', 0, 'h', 0, 'e')
    let value = await load(pickle(']', repeated(level, 64)))
    for (let i = 0; i < 64; i++) {
      expect((value as PtValue[])[0]).toBe((value as PtValue[])[1])
      value = (value as PtValue[])[0]!
    }
  })
})

describe('hostile zips are refused with the reason', () => {
  const good = pickle('N')

  test('compressed records, a bomb or not', async () => {
    const writer = new ZipWriter(new BlobWriter(), { level: 9, useWebWorkers: false })
    await writer.add('a/data.pkl', new Uint8ArrayReader(new Uint8Array(10_000_000)))
    const bomb = await writer.close()
    expect(bomb.size).toBeLessThan(20_000)
    await expectRefusal(parsePt(bomb), /"a\/data\.pkl" is compressed \(\d+ to 10000000 bytes\): torch\.save never does/)
  })

  test('a stored record whose sizes disagree', async () => {
    const file = await zip({ 'a/data.pkl': good })
    const central = file.length - 22 - 46 - 'a/data.pkl'.length
    new DataView(file.buffer).setUint32(central + 24, 2 ** 31, true)
    await expectRefusal(parsePt(file), /compressed \(4 to 2147483648 bytes\)|not a readable zip/)
  })

  test('a record that leaves the file', async () => {
    const file = await zip({ 'a/data.pkl': good })
    const central = file.length - 22 - 46 - 'a/data.pkl'.length
    new DataView(file.buffer).setUint32(central + 20, 2 ** 30, true)
    new DataView(file.buffer).setUint32(central + 24, 2 ** 30, true)
    await expectRefusal(parsePt(file), /leaves the file of \d+ bytes|not a readable zip/)
  })

  test('a record without its local header', async () => {
    const file = await zip({ 'a/data.pkl': good })
    file[0] = 0x50
    file[2] = 0
    await expectRefusal(parsePt(file), /no header at byte 0|not a readable zip/)
  })

  test('an encrypted record', async () => {
    const writer = new ZipWriter(new BlobWriter(), { level: 0, password: 'x', useWebWorkers: false })
    await writer.add('a/data.pkl', new Uint8ArrayReader(good))
    await expectRefusal(parsePt(await writer.close()), /encrypted/)
  })

  test('a zip that is no checkpoint, or holds two', async () => {
    await expectRefusal(parsePt(await zip({ 'a/readme': good })), /0 records named <folder>\/data\.pkl/)
    await expectRefusal(parsePt(await zip({ 'a/data.pkl': good, 'b/data.pkl': good })), /2 records named/)
  })

  test('an unknown byte order', async () => {
    const file = await zip({ 'a/data.pkl': good, 'a/byteorder': bytes('middle') })
    await expectRefusal(parsePt(file), /byteorder is "middle", expected "little" or "big"/)
  })

  test('files of another kind', async () => {
    await expectRefusal(parsePt(new Uint8Array()), /is not a PyTorch zip file/)
    await expectRefusal(parsePt(bytes('hello world')), /is not a PyTorch zip file/)
    await expectRefusal(parsePt(bytes('PK', 3, 4)), /is not a readable zip/)
  })
})

describe('damaged files', () => {
  test('every truncation is refused', async () => {
    const whole = fixtureBytes('dit-checkpoint.pt')
    for (let length = 0; length < whole.length; length += 97)
      await expectRefusal(parsePt(whole.subarray(0, length)), /./)
  })

  async function readEverything(file: Uint8Array): Promise<void> {
    try {
      const tree = await parsePt(file, { maxObjectBytes: 2 ** 22 })
      const values = tree instanceof Map ? [...tree.values()] : [tree]
      for (const value of values) if (value instanceof PtTensor) await value.read()
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error
    }
  }

  test.each(['values-protocol2.pt', 'values-protocol5.pt', 'windows.pt'])(
    'mutations of %s are read or refused, and do nothing else',
    async name => {
      const whole = fixtureBytes(name)
      const change = fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 }))
      await fc.assert(
        fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), async changes => {
          const mutated = whole.slice()
          for (const [at, value] of changes) mutated[at] = value
          await readEverything(mutated)
        }),
        { numRuns: 1000 },
      )
    },
  )

  test('random opcodes are read or refused, and do nothing else', async () => {
    const opcodes = [...'.(]}a)NetubsRQ\x81\x85\x86\x87\x8f\x90\x91\x93\x94hqKJ02'].map(char => char.charCodeAt(0))
    const parts = fc.oneof(
      fc.constantFrom(...opcodes).map(code => Uint8Array.of(code)),
      fc.constantFrom(cls('torch._utils', '_rebuild_tensor_v2'), cls('collections', 'OrderedDict'), text('storage')),
      fc.constantFrom(cls('builtins', 'set'), cls('_codecs', 'encode'), tensor([2, 3], [3, 1]), text('latin1'), int(2)),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(parts, { maxLength: 60 }), async list => {
        await readEverything(await archive(pickle(...list)))
      }),
      { numRuns: 1000 },
    )
  })
})
