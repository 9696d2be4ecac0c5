import { describe, expect, test } from 'vitest'
import { expected, expectTensor, fixtureBytes } from '../test/fixtures'
import { CheckpointError } from './errors'
import { parsePt, stateDict } from './pt/read'
import type { TensorRecord } from './tensor-record'
import { toFloat32 } from './to-float32'

describe('toFloat32 agrees with PyTorch', async () => {
  const tensors = stateDict(await parsePt(fixtureBytes('dtypes.pt')))
  const exact = ['f32', 'f16', 'bf16', 'f8_e4m3', 'f8_e5m2', 'i32', 'i16', 'i8', 'u64', 'u32', 'u16', 'u8', 'bool']
  test.each(exact)('%s is exact', async name => {
    const record = await tensors.get(name)!.read()
    expectTensor(record, expected['dtypes.pt']![name]!, toFloat32(record))
  })

  test('f64 and i64 round to the nearest float32', async () => {
    for (const name of ['f64', 'i64']) {
      const want = expected['dtypes.pt']![name]!.values.map(value => Math.fround(Number(value)))
      expect([...toFloat32(await tensors.get(name)!.read())]).toEqual(want)
    }
  })

  test('complex numbers are refused with the way out', async () => {
    const record = await tensors.get('c64')!.read()
    expect(() => toFloat32(record)).toThrow(CheckpointError)
    expect(() => toFloat32(record)).toThrow(/c64.*pairs/)
  })
})

test('every f8 pattern widens to a number of its format', () => {
  const data = Uint8Array.from({ length: 256 }, (_, i) => i)
  const e4m3 = toFloat32({ shape: [256], dtype: 'f8_e4m3', data } satisfies TensorRecord)
  const e5m2 = toFloat32({ shape: [256], dtype: 'f8_e5m2', data } satisfies TensorRecord)
  expect(Math.max(...e4m3.filter(Number.isFinite))).toBe(448)
  expect(e4m3.filter(Number.isNaN)).toHaveLength(2)
  expect(Math.max(...e5m2.filter(Number.isFinite))).toBe(57344)
  expect(e5m2.filter(Number.isNaN)).toHaveLength(6)
})
