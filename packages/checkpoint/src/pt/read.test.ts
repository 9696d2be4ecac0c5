import { describe, expect, test } from 'vitest'
import { expected, expectTensor, fixtureBytes } from '../../test/fixtures'
import { CheckpointError } from '../errors'
import { bytesSource } from '../source'
import { toFloat32 } from '../to-float32'
import { parsePt, stateDict } from './read'
import { PtTensor } from './tensor'
import { PtClass, PtObject, type PtValue } from './values'

const open = async (name: string) => (await parsePt(fixtureBytes(name))) as Map<PtValue, PtValue>

describe('tensors read as PyTorch holds them', () => {
  test.each(['dtypes.pt', 'windows.pt'])('every one in %s', async name => {
    const tensors = stateDict(await open(name))
    expect([...tensors.keys()]).toEqual(Object.keys(expected[name]!))
    for (const [key, tensor] of tensors) {
      const record = await tensor.read()
      const isFloat16 = record.dtype.includes('f16') || record.dtype.startsWith('f8')
      expectTensor(record, expected[name]![key]!, isFloat16 ? toFloat32(record) : record.data)
    }
  })

  test('big-endian files give the same numbers', async () => {
    const tensors = stateDict(await open('big-endian.pt'))
    for (const name of ['f32', 'bf16', 'i64', 'c64', 'u8']) {
      const record = await tensors.get(name)!.read()
      const numbers = name === 'bf16' ? toFloat32(record) : record.data
      expectTensor(record, expected['dtypes.pt']![name]!, numbers)
    }
  })

  test('a file that is one tensor', async () => {
    const value = await parsePt(fixtureBytes('bare-tensor.pt'))
    expect(value).toBeInstanceOf(PtTensor)
    expectTensor(await (value as PtTensor).read(), expected['dtypes.pt']!.f32!, (await (value as PtTensor).read()).data)
  })

  test('opening reads no tensor data, and a tensor only its own bytes', async () => {
    const bytes = fixtureBytes('windows.pt')
    const inner = bytesSource(bytes)
    const lengths: number[] = []
    const source = {
      size: inner.size,
      read: (offset: number, length: number) => {
        lengths.push(length)
        return inner.read(offset, length)
      },
    }
    const tensors = stateDict(await parsePt(source))
    lengths.length = 0
    await tensors.get('offset')!.read()
    await tensors.get('column')!.read()
    // A 30-byte local header each; 12 floats, and the 13 that span elements 6 to 18.
    expect(lengths).toEqual([30, 48, 30, 52])
  })

  test('a Blob is read too', async () => {
    const blob = new Blob([fixtureBytes('bare-tensor.pt') as Uint8Array<ArrayBuffer>])
    expect(((await parsePt(blob)) as PtTensor).shape).toEqual([2, 3])
  })
})

describe.each([2, 3, 4, 5])('plain values of protocol %i', protocol => {
  test('read as the JavaScript values that stand for them', async () => {
    const values = await open(`values-protocol${protocol}.pt`)
    const plain = Object.fromEntries(
      [...values].filter(
        ([key]) => !['namespace', 'dtype', 'size', 'numpy_scalar', 'loop', '__proto__'].includes(String(key)),
      ),
    )
    expect(plain).toEqual({
      none: null,
      true: true,
      false: false,
      int: -7,
      int16: 40000,
      int32: -(2 ** 31),
      big: 2n ** 80n,
      small_big: -(2 ** 40),
      float: 0.1,
      text: 'grüße 🙂',
      bytes: Uint8Array.of(97, 98, 255),
      empty_bytes: new Uint8Array(),
      bytearray: Uint8Array.of(120, 121, 122),
      list: [1, [2, []]],
      tuple: [1, [2, 3], []],
      set: new Set([1, 2]),
      frozenset: new Set([3]),
      dict: new Map<unknown, unknown>([
        [1, 'one'],
        ['two', 2],
      ]),
      ordered: new Map([
        ['b', 1],
        ['a', 2],
      ]),
      shared: [
        [1, 2],
        [1, 2],
      ],
    })
    expect([...(values.get('ordered') as Map<string, number>).keys()]).toEqual(['b', 'a'])
    expect(Object.isFrozen(values.get('tuple'))).toBe(true)
    expect(Object.isFrozen(values.get('list'))).toBe(false)
  })

  test('classes become inert records of their name and state', async () => {
    const values = await open(`values-protocol${protocol}.pt`)
    const namespace = values.get('namespace') as PtObject
    expect(namespace).toBeInstanceOf(PtObject)
    expect(namespace.className).toBe('argparse.Namespace')
    expect(namespace.state).toEqual(
      new Map<string, unknown>([
        ['model', 'DiT-XL/2'],
        ['lr', 1e-4],
      ]),
    )
    expect(values.get('dtype')).toEqual(new PtClass('torch.float32'))
    expect(values.get('size')).toMatchObject({ className: 'torch.Size', args: [[2, 3]] })
    expect((values.get('numpy_scalar') as PtObject).className).toMatch(/^numpy.*scalar$/)
  })

  test('shared and self-referential containers keep their identity', async () => {
    const values = await open(`values-protocol${protocol}.pt`)
    const [first, second] = values.get('shared') as PtValue[]
    expect(first).toBe(second)
    const loop = values.get('loop') as PtValue[]
    expect(loop[0]).toBe(loop)
  })

  test('a key named __proto__ is a key like any other', async () => {
    const values = await open(`values-protocol${protocol}.pt`)
    expect(values.get('__proto__')).toEqual(new Map([['polluted', true]]))
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })
})

describe('a facebookresearch/DiT training checkpoint', () => {
  test('model, ema and optimizer state load by name', async () => {
    const tree = await open('dit-checkpoint.pt')
    const want = expected['dit-checkpoint.pt']!
    const model = stateDict(tree, 'model')
    expect([...model.keys()]).toEqual(['0.weight', '0.bias', '1.weight', '1.bias'])
    for (const [name, tensor] of model) expectTensor(await tensor.read(), want[name]!, (await tensor.read()).data)
    const ema = await stateDict(tree, 'ema').get('0.bias')!.read()
    expectTensor(ema, want['ema.0.bias']!, toFloat32(ema))
    const state = (tree.get('opt') as Map<PtValue, PtValue>).get('state') as Map<PtValue, PtValue>
    const moment = await ((state.get(0) as Map<PtValue, PtValue>).get('exp_avg') as PtTensor).read()
    expectTensor(moment, want.moment!, moment.data)
  })

  test('its argparse.Namespace is inert, and a Parameter is a tensor', async () => {
    const tree = await open('dit-checkpoint.pt')
    expect((tree.get('args') as PtObject).state).toEqual(
      new Map<string, unknown>([
        ['model', 'DiT-XL/2'],
        ['image_size', 256],
      ]),
    )
    expect(tree.get('parameter')).toBeInstanceOf(PtTensor)
  })
})

test('Parameters and tensors with Python attributes, and shared ones, are tensors', async () => {
  const tensors = stateDict(await open('attributes.pt'))
  expect([...tensors.keys()]).toEqual(['parameter', 'tensor', 'alias'])
  for (const [name, tensor] of tensors)
    expectTensor(await tensor.read(), expected['attributes.pt']![name]!, (await tensor.read()).data)
  expect(tensors.get('alias')).toBe(tensors.get('tensor'))
})

test('what is no plain strided tensor stays an inert record', async () => {
  const tree = await open('other-layouts.pt')
  expect((tree.get('sparse') as PtObject).className).toBe('torch._utils._rebuild_sparse_tensor')
  expect((tree.get('meta') as PtObject).className).toBe('torch._utils._rebuild_meta_tensor_no_storage')
  expect((tree.get('quantized') as PtObject).className).toBe('torch._utils._rebuild_qtensor')
})

test('a lazily conjugated tensor is refused with the way out', async () => {
  await expect(parsePt(fixtureBytes('conjugated.pt'))).rejects.toThrow(/lazily conjugated.*resolve_conj\(\)/)
})

describe('stateDict names what is there instead', () => {
  test.each([
    [['nope'], /no "nope" in the file: it is a dict of 5: "model", "ema", "opt", "args", "parameter"/],
    [['opt'], /expected a dict of tensors at the file > "opt": it is a dict of 2: "state", "param_groups"/],
    [['args'], /expected a dict of tensors at the file > "args": it is a argparse\.Namespace/],
    [['model', '0.bias', 'x'], /no "x" in the file > "model" > "0.bias": it is a PtTensor/],
  ])('%j', async (path, message) => {
    const tree = await open('dit-checkpoint.pt')
    expect(() => stateDict(tree, ...path)).toThrow(CheckpointError)
    expect(() => stateDict(tree, ...path)).toThrow(message)
  })
})

test('a legacy file is refused with the way out', async () => {
  await expect(parsePt(bytesSource(fixtureBytes('legacy.pt'), 'old.pt'))).rejects.toThrow(
    /^old\.pt: is a PyTorch file of the format before version 1\.6.*torch\.save\(torch\.load\(path\), path\)/,
  )
})
