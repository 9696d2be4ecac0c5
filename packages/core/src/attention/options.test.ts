import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AttentionOptions, add, assign, attention, type Device, reference, rngKey, type Tensor } from '../index'

let device: Device
let other: Device
let q: Tensor
let k: Tensor
let v: Tensor
beforeAll(async () => {
  device = await reference()
  other = await reference()
  q = device.ones([2, 3, 4, 8])
  k = device.ones([2, 5, 4, 8])
  v = device.ones([2, 5, 4, 6])
})
afterAll(() => {
  device.dispose()
  other.dispose()
})

const f = (shape: number[]) => device.ones(shape)
const bool = (shape: number[]) => device.ones(shape, { dtype: 'bool' })
const ints = (...values: number[]) => device.tensor(Int32Array.from(values), [values.length])

describe('a call that does not fit is refused by name', () => {
  it.each<[string, () => [Tensor, Tensor, Tensor], string]>([
    [
      'q of rank 3',
      () => [f([2, 3, 8]), k, v],
      'attention: q has shape [2, 3, 8] (expected [batch, tokens, heads, head dim])',
    ],
    ['k of another batch', () => [q, f([1, 5, 4, 8]), v], 'attention: k has shape [1, 5, 4, 8] but q [2, 3, 4, 8]'],
    ['k of fewer heads', () => [q, f([2, 5, 2, 8]), v], '(expected [2, Lk, 4, 8])'],
    ['k of another head dim', () => [q, f([2, 5, 4, 6]), v], '(expected [2, Lk, 4, 8])'],
    ['v of fewer tokens', () => [q, k, f([2, 4, 4, 6])], 'attention: v has shape [2, 4, 4, 6] but k [2, 5, 4, 8]'],
    [
      'integers',
      () => [device.ones([2, 3, 4, 8], { dtype: 'i32' }), k, v],
      'attention: q is i32 (expected a float dtype)',
    ],
    ['mixed dtypes', () => [q, device.ones([2, 5, 4, 8], { dtype: 'f64' }), v], 'attention: k is f64 but q is f32'],
    [
      'another device',
      () => [q, other.ones([2, 5, 4, 8]), v],
      'attention: k is on device reference but q is on reference',
    ],
    ['no head dim', () => [f([2, 3, 4, 0]), f([2, 5, 4, 0]), v], 'the head dim must be at least 1'],
  ])('%s', (_, inputs, message) => {
    expect(() => attention(...inputs())).toThrow(message)
  })

  it.each<[string, () => AttentionOptions, string]>([
    [
      'a key mask of another length',
      () => ({ keyMask: bool([2, 4]) }),
      'attention: keyMask has shape [2, 4] but key has 5 tokens (expected [2, 5] or [2, 1, 5])',
    ],
    ['a key mask of one sample', () => ({ keyMask: bool([1, 5]) }), '(expected [2, 5] or [2, 1, 5])'],
    [
      'a query mask of another length',
      () => ({ queryMask: bool([2, 5]) }),
      'attention: queryMask has shape [2, 5] but query has 3 tokens (expected [2, 3])',
    ],
    ['a query mask with an axis too many', () => ({ queryMask: bool([2, 1, 3]) }), '(expected [2, 3])'],
    [
      'lengths for another batch',
      () => ({ keyLengths: ints(1, 2, 3) }),
      'attention: keyLengths has shape [3] (expected [2], one per sample)',
    ],
    ['lengths as floats', () => ({ queryLengths: f([2]) }), 'attention: queryLengths is f32 (expected i32)'],
    [
      'a mask of floats',
      () => ({ mask: f([3, 5]) }),
      'attention: mask is f32 (expected bool: a float mask to be added is a bias',
    ],
    [
      'a mask of rank 1',
      () => ({ mask: bool([5]) }),
      'attention: mask has shape [5] (expected [Lq, Lk], [B, Lq, Lk] or [B, H, Lq, Lk]',
    ],
    ['a mask transposed', () => ({ mask: bool([5, 3]) }), 'B, H, Lq, Lk = 2, 4, 3, 5 or 1'],
    ['a mask per head of rank 3', () => ({ mask: bool([4, 3, 5]) }), 'attention: mask has shape [4, 3, 5]'],
    [
      'a bias of rank 3',
      () => ({ bias: f([2, 3, 5]) }),
      'a bias per head is [1, H, Lq, Lk], one per sample [B, 1, Lq, Lk]',
    ],
    ['a bias that does not broadcast', () => ({ bias: f([2, 3, 3, 5]) }), 'attention: bias has shape [2, 3, 3, 5]'],
    [
      'a bias of another dtype',
      () => ({ bias: device.ones([3, 5], { dtype: 'f64' }) }),
      "attention: bias is f64 (expected f32: use cast(bias, 'f32'))",
    ],
    ['a bias on another device', () => ({ bias: other.ones([3, 5]) }), 'attention: bias is on device reference'],
    [
      'factors of two ranks',
      () => ({ factoredBias: { query: f([1, 3, 4, 2]), key: f([1, 5, 4, 3]) } }),
      'factoredBias.query has rank 2 but factoredBias.key 3',
    ],
    [
      'a factor of other tokens',
      () => ({ factoredBias: { query: f([1, 5, 4, 2]), key: f([1, 5, 4, 2]) } }),
      'attention: factoredBias.query has shape [1, 5, 4, 2] (expected [2 or 1, 3, 4 or 1, R])',
    ],
    [
      'a factor of rank 3',
      () => ({ factoredBias: { query: f([3, 4, 2]), key: f([1, 5, 4, 2]) } }),
      'attention: factoredBias.query has shape [3, 4, 2]',
    ],
    [
      'offsets with a batch',
      () => ({ offsets: { query: ints(0, 3), key: ints(0, 5) } }),
      'attention: a packed batch (offsets) has q of shape [1, total, H, D], got a batch of 2',
    ],
    [
      'offsets of different counts',
      () => ({ offsets: { query: ints(0, 3), key: ints(0, 2, 5) } }),
      'offsets.query has 2 entries but offsets.key 3',
    ],
    [
      'offsets of no sample',
      () => ({ offsets: { query: ints(0), key: ints(0) } }),
      'attention: offsets.query has shape [1] (expected [S + 1] for S ≥ 1 samples)',
    ],
    [
      'dropout without a key',
      () => ({ dropout: 0.1 }),
      'attention: dropout is 0.1 but there is no key to draw it from (pass rng: rngKey(seed))',
    ],
    ['dropout of 1', () => ({ dropout: 1, rng: rngKey(1) }), 'attention: dropout is 1 (expected 0 ≤ dropout < 1'],
    ['negative dropout', () => ({ dropout: -0.1, rng: rngKey(1) }), 'attention: dropout is -0.1'],
    ['dropout that is no number', () => ({ dropout: Number.NaN, rng: rngKey(1) }), 'attention: dropout is NaN'],
    ['an infinite scale', () => ({ scale: Number.POSITIVE_INFINITY }), 'attention: scale is Infinity'],
    ['an unknown causal', () => ({ causal: 'lower' as never }), 'attention: causal is "lower"'],
    [
      'a computeDtype that the device has not',
      () => ({ computeDtype: 'f16' }),
      'attention: the reference device does not multiply in f16 (it has f32, bf16)',
    ],
    [
      'an unknown computeDtype',
      () => ({ computeDtype: 'fp8' as never }),
      "attention: computeDtype is 'fp8' (expected 'f32', 'bf16' or 'f16')",
    ],
    [
      'an unknown option',
      () => ({ attnMask: bool([3, 5]) }) as never,
      'attention: there is no option attnMask (expected one of scale, keyMask',
    ],
    [
      'an unknown kernel',
      () => ({ kernel: 'flash' }),
      "attention: the reference device has no kernel 'flash' (it has chunked, standard)",
    ],
    ['a mask that is an array', () => ({ mask: [[true]] as never }), 'attention: mask is object (expected a Tensor)'],
  ])('%s', (_, options, message) => {
    expect(() => attention(q, k, v, options())).toThrow(message)
  })

  it('leaves no tensor behind', () => {
    const wrong = bool([2, 4])
    const before = device.memory().liveTensors
    expect(() => attention(q, k, v, { keyMask: wrong, causal: true })).toThrow()
    expect(device.memory().liveTensors).toBe(before)
  })
})

describe('what only the data shows is put right and reported at the next read', () => {
  it.each<[string, () => AttentionOptions, string]>([
    [
      'a length beyond the keys',
      () => ({ keyLengths: ints(5, 6) }),
      'attention: keyLengths holds a length below 0 or above the 5 tokens there are; it was clamped',
    ],
    [
      'a negative length',
      () => ({ queryLengths: ints(-1, 3) }),
      'attention: queryLengths holds a length below 0 or above the 3 tokens',
    ],
    [
      'a mask that is neither 0 nor 1',
      () => ({ keyMask: device.tensor(new Float32Array(10).fill(-1e9), [2, 5]) }),
      'keyMask holds a value that is neither 0 nor 1',
    ],
  ])('%s', async (_, options, message) => {
    const out = attention(q, k, v, options())
    await expect(out.data()).rejects.toThrow(message)
    expect([...((await out.data()) as Float32Array)].every(Number.isFinite)).toBe(true)
  })

  it.each([
    ['that descend', [0, 4, 2, 6]],
    ['beyond the tokens', [0, 3, 9, 9]],
    ['that do not start at 0', [1, 3, 4, 6]],
    ['below 0', [0, -3, 4, 6]],
  ])('offsets %s', async (_, offsets) => {
    const x = f([1, 6, 2, 4])
    const out = attention(x, x, x, { offsets: { query: ints(...offsets), key: ints(0, 2, 4, 6) } })
    await expect(out.data()).rejects.toThrow('offsets.query must ascend from 0 to at most 6')
  })

  it('a length beyond its sample of a packed batch', async () => {
    const x = f([1, 6, 2, 4])
    const offsets = { query: ints(0, 2, 6), key: ints(0, 2, 6) }
    const out = attention(x, x, x, { offsets, keyLengths: ints(3, 3) })
    await expect(out.data()).rejects.toThrow('keyLengths holds a length below 0 or above the tokens of its sample')
  })
})

it('dropout in a packed batch whose offsets the host does not know is refused by the kernels of core', () => {
  const x = f([1, 6, 2, 4])
  const computed = add(ints(0, 2, 6), 0)
  const options = { offsets: { query: computed, key: computed }, dropout: 0.1, rng: rngKey(1) }
  expect(() => attention(x, x, x, options)).toThrow('offsets were computed on the device')
  expect(() => attention(x, x, x, { offsets: options.offsets })).not.toThrow()
  const overwritten = ints(0, 3, 6)
  expect(() => attention(x, x, x, { ...options, offsets: { query: overwritten, key: overwritten } })).not.toThrow()
  assign(overwritten, ints(0, 2, 6))
  expect(() => attention(x, x, x, { ...options, offsets: { query: overwritten, key: overwritten } })).toThrow(
    'offsets were computed on the device',
  )
})
