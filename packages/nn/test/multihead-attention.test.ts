// MultiheadAttention against PyTorch's, in float64, on every form of mask, layout and width; its weights load by name.

import { cpu } from '@ditkit/backend-cpu'
import { readSafetensors } from '@ditkit/checkpoint/node'
import { backward, type Device, reference, rngKey, scope, slice, type Tensor } from '@ditkit/core'
import { hashNormal, hashUniform, hashWeight, largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { MultiheadAttention, type MultiheadAttentionOptions } from '../src'

const [WIDTH, HEADS, BATCH, QUERIES, KEYS] = [12, 3, 2, 7, 13]

/** As the script that wrote the fixture has it. */
interface Case {
  self?: boolean
  batch_first?: boolean
  attn?: 'bool 2' | 'bool 3' | 'float 2' | 'float 3'
  padding?: 'bool' | 'float'
  bias?: boolean
  kdim?: number
  vdim?: number
  add_bias_kv?: boolean
  add_zero_attn?: boolean
}

const expected = await readSafetensors(new URL('fixtures/multihead-attention.safetensors', import.meta.url).pathname)
const cases: Record<string, Case> = JSON.parse(expected.metadata.get('cases')!)

const devices = [
  { name: 'reference f64', make: () => reference({ dtype: 'f64' }), bound: 1e-7 },
  { name: 'cpu', make: () => cpu(), bound: 2e-5 },
]

describe.each(devices)('MultiheadAttention on $name', ({ make, bound }) => {
  let device: Device
  beforeAll(async () => {
    device = await make()
  })
  afterAll(() => {
    expect(device.memory().liveTensors).toBe(0)
    device.dispose()
  })

  const optionsOf = (case_: Case): MultiheadAttentionOptions => ({
    bias: case_.bias,
    kDim: case_.kdim,
    vDim: case_.vdim,
    batchFirst: case_.batch_first,
    addBiasKV: case_.add_bias_kv,
    addZeroAttention: case_.add_zero_attn,
  })

  async function load(name: string, case_: Case): Promise<MultiheadAttention> {
    const module = new MultiheadAttention(device, rngKey(0), WIDTH, HEADS, optionsOf(case_))
    const record = Array.from(module.namedParameters(), ([key, { shape }]) => {
      return [key, { shape, dtype: 'f32', data: hashWeight(`${name}/${key}`, shape) }] as const
    })
    await module.loadStateDict(new Map(record))
    return module
  }

  function mask(name: string, kind: string, shape: number[]): Tensor {
    const keys = shape[shape.length - 1]
    const size = shape.reduce((a, b) => a * b, 1)
    const blocked = Uint8Array.from(hashUniform(`${name}/blocked`, size), (u, i) =>
      u < 1 / 3 && i % keys !== 0 ? 1 : 0,
    )
    if (kind === 'bool') return device.tensor(blocked, shape)
    const values = Float64Array.from(hashNormal(name, shape), (x, i) => (blocked[i] ? Number.NEGATIVE_INFINITY : x))
    return device.tensor(values, shape, { requiresGrad: true })
  }

  function operands(name: string, case_: Case): Record<string, Tensor> {
    const of = (which: string, tokens: number, width: number) => {
      const shape = case_.batch_first === false ? [tokens, BATCH, width] : [BATCH, tokens, width]
      return device.tensor(hashNormal(`${name}/${which}`, shape), shape, { requiresGrad: true })
    }
    const query = of('query', QUERIES, WIDTH)
    if (case_.self) return { query }
    return { query, key: of('key', KEYS, case_.kdim ?? WIDTH), value: of('value', KEYS, case_.vdim ?? WIDTH) }
  }

  function masks(name: string, { self, attn, padding }: Case): Record<string, Tensor> {
    const keys = self ? QUERIES : KEYS
    const result: Record<string, Tensor> = {}
    if (attn) {
      const [kind, axes] = attn.split(' ')
      const shape = axes === '2' ? [QUERIES, keys] : [BATCH * HEADS, QUERIES, keys]
      result.attnMask = mask(`${name}/attn`, kind!, shape)
    }
    if (padding) result.keyPaddingMask = mask(`${name}/padding`, padding, [BATCH, keys])
    return result
  }

  it.each(Object.entries(cases))('equals PyTorch: %s', async (name, case_) => {
    const module = await load(name, case_)
    const inputs = operands(name, case_)
    const given = masks(name, case_)
    const out = scope(() => {
      const result = module.forward({ ...inputs, ...given })
      backward(result, device.tensor(hashNormal(`${name}/gradient`, result.shape), result.shape))
      return result
    })
    const looked = scope(() => module.forwardWithWeights({ ...inputs, ...given }))
    const compare = async (what: string, tensor: Tensor) => {
      const fixture = expected.get(`${name}/${what}`)!
      expect(tensor.shape, what).toEqual(fixture.shape)
      expect(largestError(await tensor.data(), fixture.data as Float32Array), what).toBeLessThan(bound)
    }
    await compare('out', out)
    await compare('out', looked.out)
    await compare('weights', looked.weights)
    for (const [key, tensor] of [...module.namedParameters(), ...Object.entries(inputs)])
      await compare(`${key}.grad`, tensor.grad!)
    if (given.attnMask?.grad) await compare('attn_mask.grad', given.attnMask.grad)
    if (given.keyPaddingMask?.grad) await compare('key_padding_mask.grad', given.keyPaddingMask.grad)
    expect([...expected.keys()].filter(key => key.startsWith(`${name}/`)).length).toBe(
      2 + [...module.namedParameters(), ...Object.keys(inputs), ...Object.values(given).filter(m => m.grad)].length,
    )
    for (const owner of [out, ...Object.values(looked), ...Object.values(inputs), ...Object.values(given), module])
      owner.dispose()
  })

  it('is called by position, by PyTorch’s names and by PETR’s alike', async () => {
    const module = await load('plain', {})
    const inputs = operands('plain', {})
    const { query, key, value } = inputs as { query: Tensor; key: Tensor; value: Tensor }
    const [byPosition, byName, byLetter] = [
      module.forward(query, key, value),
      module.forward({ query, key, value }),
      module.forward({ q: query, k: key, v: value }),
    ]
    const wanted = await byPosition.data()
    expect(await byName.data()).toEqual(wanted)
    expect(await byLetter.data()).toEqual(wanted)
    for (const owner of [byPosition, byName, byLetter, module, ...Object.values(inputs)]) owner.dispose()
  })

  it('takes the contract’s masks and factored bias too, extra keys or not', async () => {
    for (const options of [{}, { addBiasKV: true, addZeroAttention: true }]) {
      const module = new MultiheadAttention(device, rngKey(0), WIDTH, HEADS, options)
      const outputs = scope(() => {
        const x = device.tensor(hashNormal('x', [BATCH, QUERIES, WIDTH]), [BATCH, QUERIES, WIDTH])
        const keep = mask('m', 'bool', [QUERIES, QUERIES])
        const blocked = device.tensor(
          Uint8Array.from(hashUniform('m/blocked', 49), (u, i) => (u < 1 / 3 && i % 7 !== 0 ? 0 : 1)),
          [QUERIES, QUERIES],
        )
        const factor = (name: string) => device.tensor(hashNormal(name, [1, QUERIES, 1, 2]), [1, QUERIES, 1, 2])
        const [query, key] = [factor('f'), factor('g')]
        const product = Float64Array.from({ length: 49 }, (_, i) => {
          const [f, g] = [hashNormal('f', [14]), hashNormal('g', [14])]
          const [row, column] = [Math.floor(i / 7), i % 7]
          return f[2 * row]! * g[2 * column]! + f[2 * row + 1]! * g[2 * column + 1]!
        })
        const bias = device.tensor(product, [QUERIES, QUERIES])
        return [
          module.forward(x, x, x, { mask: keep, factoredBias: { query, key } }),
          module.forward(x, x, x, { attnMask: blocked, bias }),
        ]
      })
      const [one, two] = await Promise.all(outputs.map(out => out.data()))
      expect(largestError(one!, two!)).toBeLessThan(bound)
      for (const owner of [...outputs, module]) owner.dispose()
    }
  })

  it('gives what is left of the layer to a query that may attend to nothing, where PyTorch gives NaN', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const module = await load('plain', {})
    const { out, bias } = scope(() => {
      const x = device.tensor(hashNormal('x', [1, 3, WIDTH]), [1, 3, WIDTH])
      const attnMask = device.tensor(Uint8Array.of(1, 1, 1, 0, 0, 0, 0, 0, 0), [3, 3])
      return { out: slice(module.forward({ q: x, attnMask }), 1, 0, 1), bias: module.out_proj.bias! }
    })
    expect(largestError(await out.data(), await bias.data())).toBeLessThan(bound)
    for (const owner of [out, module]) owner.dispose()
    warn.mockRestore()
  })

  it('says once that a mask blocks everything for a sample or a query, as one of the other polarity does', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const fresh = await make()
    const look = async (masks: Record<string, [number[], number[]]>) => {
      const module = new MultiheadAttention(fresh, rngKey(0), WIDTH, HEADS)
      scope(() => {
        const x = fresh.tensor(hashNormal('x', [2, 3, WIDTH]), [2, 3, WIDTH])
        const given = Object.entries(masks).map(([name, [values, shape]]) => {
          return [name, fresh.tensor(Uint8Array.from(values), shape)] as const
        })
        module.forward(x) // Without a mask there is nothing to look at yet.
        for (let i = 0; i < 2; i++) module.forward({ q: x, ...Object.fromEntries(given) })
      })
      await fresh.sync()
      module.dispose()
    }
    await look({
      keyPaddingMask: [
        [0, 0, 0, 0, 1, 1],
        [2, 3],
      ],
      attnMask: [
        [0, 1, 1, 0, 0, 1, 0, 0, 0],
        [3, 3],
      ],
    })
    expect(warn).not.toHaveBeenCalled()
    for (let i = 0; i < 2; i++)
      await look({
        keyPaddingMask: [
          [0, 0, 1, 1, 1, 1],
          [2, 3],
        ],
      })
    expect(warn).toHaveBeenCalledOnce()
    expect(warn.mock.calls[0]![0]).toContain('keyPaddingMask blocks every key of sample 1')
    await look({
      attnMask: [
        [0, 1, 1, 1, 1, 1, 0, 0, 0],
        [3, 3],
      ],
    })
    expect(warn.mock.calls[1]![0]).toContain('attnMask blocks every key of query 1')
    await look({
      mask: [
        [1, 0, 0, 0, 0, 0, 1, 1, 1],
        [3, 3],
      ],
    })
    expect(warn.mock.calls[2]![0]).toContain('mask blocks every key of query 1')
    expect(warn.mock.calls[2]![0]).toContain('fromBlockedMask converts')
    await look({
      keyMask: [
        [1, 1, 1, 0, 0, 0],
        [2, 3],
      ],
    })
    expect(warn.mock.calls[3]![0]).toContain('keyMask blocks every key of sample 1')
    expect(fresh.memory().liveTensors).toBe(0)
    fresh.dispose()
    warn.mockRestore()
  })

  it('says so of an additive mask that is −∞ throughout a row, and of no other', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const fresh = await make()
    const look = async (row: number[]) => {
      const module = new MultiheadAttention(fresh, rngKey(0), WIDTH, HEADS)
      scope(() => {
        const x = fresh.tensor(hashNormal('x', [2, 3, WIDTH]), [2, 3, WIDTH])
        module.forward({ q: x, attnMask: fresh.tensor([0, 1, 2, ...row, 3, -Infinity, 4], [3, 3]) })
      })
      await fresh.sync()
      module.dispose()
    }
    await look([-Infinity, 0, -Infinity])
    expect(warn).not.toHaveBeenCalled()
    await look([-Infinity, -Infinity, -Infinity])
    expect(warn.mock.calls[0]![0]).toContain('attnMask blocks every key of query 1')
    fresh.dispose()
    warn.mockRestore()
  })

  it('drops from its output in training only, by key', async () => {
    const module = new MultiheadAttention(device, rngKey(0), 64, 2, { outputDropout: 0.5 })
    const x = device.tensor(hashNormal('x', [2, 7, 64]), [2, 7, 64])
    expect(() => module.forward(x)).toThrow(/key/)
    const zeros = async (out: Tensor) => {
      const values = await out.data()
      out.dispose()
      return values.filter(value => value === 0).length / values.length
    }
    expect(Math.abs((await zeros(module.forward({ q: x, rng: rngKey(1) }))) - 0.5)).toBeLessThan(0.06)
    module.eval()
    expect(await zeros(module.forward(x))).toBe(0)
    for (const owner of [x, module]) owner.dispose()
  })

  it('refuses what does not go together, and says what would', () => {
    scope(() => {
      const module = new MultiheadAttention(device, rngKey(0), WIDTH, HEADS)
      const extra = new MultiheadAttention(device, rngKey(0), WIDTH, HEADS, { addZeroAttention: true })
      const zeros = (...shape: number[]) => device.zeros(shape)
      const blocked = (...shape: number[]) => device.zeros(shape, { dtype: 'bool' })
      const [x, y] = [zeros(2, 7, WIDTH), zeros(2, 5, WIDTH)]
      expect(() => module.forward(x, y, x)).toThrow('key has 5 tokens but value 7, expected the same number')
      expect(() => module.forward(x, zeros(3, 5, WIDTH))).toThrow('batches of 2, 3 and 3')
      expect(() => module.forward(zeros(2, 7, 5))).toThrow('query has shape [2, 7, 5], expected [batch, tokens, 12]')
      expect(() => module.forward({ q: x, query: x })).toThrow('query and q are two names of one operand')
      expect(() => module.forward({ k: x })).toThrow('there is no query')
      expect(() => module.forward({ q: x, v: x })).toThrow('a value but no key')
      expect(() => module.forward({ q: x, dropouts: 1 } as never)).toThrow('there is no option dropouts')
      expect(() => module.forward({ q: x, keyPaddingMask: blocked(2, 5) })).toThrow('shape [2, 5], expected [2, 7]')
      expect(() => module.forward({ q: x, attnMask: blocked(2, 7, 7) })).toThrow('expected [7, 7] or [6, 7, 7]')
      const counts = device.tensor(new Int32Array(49), [7, 7])
      expect(() => module.forward({ q: x, attnMask: counts })).toThrow('attnMask is i32 (expected bool, where true is')
      expect(() => module.forward({ q: x, attnMask: [] as never })).toThrow('attnMask is object (expected a Tensor)')
      expect(() => new MultiheadAttention(device, rngKey(0), WIDTH, 1.5)).toThrow('1.5 heads do not divide the width')
      expect(() => module.forward({ q: x, keyMask: blocked(2, 7), keyPaddingMask: blocked(2, 7) })).toThrow(
        'both given',
      )
      expect(() => module.forward({ q: x, bias: zeros(7, 7), attnMask: zeros(7, 7) })).toThrow('both given')
      expect(() => extra.forward({ q: x, causal: true })).toThrow('do not go with causal')
      for (const owner of [module, extra]) owner.dispose()
    })
  })
})
