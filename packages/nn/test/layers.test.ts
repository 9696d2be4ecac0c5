// Layers, outputs and all gradients, against PyTorch's float64 results on weights both sides compute from a formula.

import { cpu } from '@ditkit/backend-cpu'
import { readSafetensors } from '@ditkit/checkpoint/node'
import { backward, type Device, reference, rngKey, scope, type Tensor } from '@ditkit/core'
import { hashNormal, hashWeight, largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Dropout, Embedding, LayerNorm, Linear, MLP, type Module, MultiheadAttention, RMSNorm } from '../src'

let expected: Awaited<ReturnType<typeof readSafetensors>>
beforeAll(async () => {
  expected = await readSafetensors(new URL('fixtures/layers.safetensors', import.meta.url).pathname)
})

// The fixture holds float32 numbers, so the float64 reference agrees to their rounding.
const devices = [
  { name: 'reference f64', make: () => reference({ dtype: 'f64' }), bound: 1e-7 },
  { name: 'cpu', make: () => cpu(), bound: 2e-5 },
]

describe.each(devices)('layers on $name', ({ make, bound }) => {
  let device: Device
  beforeAll(async () => {
    device = await make()
  })
  afterAll(() => {
    expect(device.memory().liveTensors).toBe(0)
    device.dispose()
  })

  /** Runs one layer on hashed weights, inputs and output gradient, and compares all that comes out. */
  async function check<M extends Module>(
    name: string,
    module: M,
    shapes: Record<string, number[]>,
    run: (module: M, inputs: Record<string, Tensor>) => Tensor,
  ): Promise<void> {
    await module.loadStateDict(
      Object.fromEntries(
        Array.from(module.namedParameters(), ([key, { shape }]) => [
          key,
          { shape, dtype: 'f32', data: hashWeight(`${name}/${key}`, shape) },
        ]),
      ),
    )
    const inputs = Object.fromEntries(
      Object.entries(shapes).map(([key, shape]) => [
        key,
        device.tensor(hashNormal(`${name}/${key}`, shape), shape, { requiresGrad: true }),
      ]),
    )
    const out = scope(() => {
      const result = run(module, inputs)
      backward(result, device.tensor(hashNormal(`${name}/gradient`, result.shape), result.shape))
      return result
    })
    const compare = async (what: string, tensor: Tensor) => {
      const fixture = expected.get(`${name}/${what}`)!
      expect(tensor.shape, what).toEqual(fixture.shape)
      expect(largestError(await tensor.data(), fixture.data as Float32Array), `${name} ${what}`).toBeLessThan(bound)
    }
    await compare('out', out)
    for (const [key, tensor] of [...module.namedParameters(), ...Object.entries(inputs)])
      await compare(`${key}.grad`, tensor.grad!)
    for (const tensor of [out, ...Object.values(inputs)]) tensor.dispose()
    module.dispose()
  }

  const key = rngKey(0)
  const x = { x: [2, 5, 10] }

  it('Linear equals PyTorch', () => check('linear', new Linear(device, key, 10, 7), x, (m, i) => m.forward(i.x)))
  it('LayerNorm equals PyTorch', () => check('layer-norm', new LayerNorm(device, 10), x, (m, i) => m.forward(i.x)))
  it('RMSNorm equals PyTorch', () => check('rms-norm', new RMSNorm(device, 10), x, (m, i) => m.forward(i.x)))
  it('MLP equals PyTorch', () => check('mlp', new MLP(device, key, 10, 23, { out: 6 }), x, (m, i) => m.forward(i.x)))

  it('MultiheadAttention equals PyTorch on itself, with padding', () =>
    check('self-attention', new MultiheadAttention(device, key, 12, 3), { x: [2, 5, 12] }, (m, i) =>
      m.forward(i.x, undefined, undefined, { keyMask: paddedKeys() }),
    ))

  it('MultiheadAttention equals PyTorch on a memory, with padding', () =>
    check(
      'cross-attention',
      new MultiheadAttention(device, key, 12, 3),
      { x: [2, 4, 12], memory: [2, 5, 12] },
      (m, i) => m.forward(i.x, i.memory, undefined, { keyMask: paddedKeys() }),
    ))

  it('MultiheadAttention equals PyTorch on keys and values of other widths', () =>
    check(
      'three-widths',
      new MultiheadAttention(device, key, 12, 3, { kDim: 8, vDim: 9 }),
      { x: [2, 4, 12], key: [2, 5, 8], value: [2, 5, 9] },
      (m, i) => m.forward(i.x, i.key, i.value, { keyMask: paddedKeys() }),
    ))

  it('MultiheadAttention gives the same for one memory passed as key and as value', async () => {
    const layer = new MultiheadAttention(device, key, 12, 3)
    const [first, second] = scope(() => {
      const [query, memory] = [4, 5].map(n => device.tensor(hashNormal(`n${n}`, [2, n, 12]), [2, n, 12]))
      const copy = device.tensor(hashNormal('n5', [2, 5, 12]), [2, 5, 12])
      return [layer.forward(query, memory), layer.forward(query, memory, copy)]
    })
    expect(largestError(await first.data(), await second.data())).toBeLessThan(bound)
    for (const owner of [first, second, layer]) owner.dispose()
  })

  it('MultiheadAttention drops weights in training only, by key', async () => {
    const layer = new MultiheadAttention(device, key, 8, 2, { dropout: 0.5 })
    const x = device.tensor(hashNormal('dropout/x', [1, 5, 8]), [1, 5, 8])
    expect(() => layer.forward(x)).toThrow(/pass rng/)
    const draw = (seed: number) => layer.forward(x, x, x, { rng: rngKey(seed) })
    const [a, b, other] = [draw(1), draw(1), draw(2)]
    layer.eval()
    const [plain, withKey] = [layer.forward(x), draw(1)]
    const [dropped, again, otherwise, all, allToo] = await Promise.all(
      [a, b, other, plain, withKey].map(tensor => tensor.data()),
    )
    expect(dropped).toEqual(again)
    expect(dropped).not.toEqual(otherwise)
    expect(dropped).not.toEqual(all)
    expect(all).toEqual(allToo)
    for (const tensor of [a, b, other, plain, withKey, x]) tensor.dispose()
    layer.dispose()
  })

  it('Embedding looks rows up and adds gradients of repeated ones', async () => {
    const layer = new Embedding(device, key, 4, 2)
    const out = scope(() => {
      const rows = layer.forward(device.tensor(new Int32Array([3, 1, 3]), [3]))
      backward(rows, device.tensor([1, 2, 10, 20, 100, 200], [3, 2]))
      return rows
    })
    const weight = [...(await layer.weight.data())]
    expect([...(await out.data())]).toEqual([...weight.slice(6), ...weight.slice(2, 4), ...weight.slice(6)])
    expect([...(await layer.weight.grad!.data())]).toEqual([0, 0, 10, 20, 0, 0, 101, 202])
    out.dispose()
    layer.dispose()
  })

  it('Dropout is active in training only, by key', async () => {
    const layer = new Dropout(0.25)
    const ones = device.ones([4000])
    const [a, b, other] = [1, 1, 2].map(seed => layer.forward(ones, rngKey(seed)))
    const values = [...(await a.data())]
    expect(values).toEqual([...(await b.data())])
    expect(values).not.toEqual([...(await other.data())])
    const kept = values.filter(value => value !== 0)
    expect(Math.abs(kept.length / 4000 - 0.75)).toBeLessThan(0.03)
    expect(Math.abs(kept[0] - 4 / 3)).toBeLessThan(1e-4)
    expect(() => layer.forward(ones)).toThrow(/training needs a key/)
    expect(layer.eval().forward(ones)).toBe(ones)
    for (const tensor of [a, b, other, ones]) tensor.dispose()
  })

  function paddedKeys(): Tensor {
    return device.tensor(new Uint8Array([1, 1, 1, 1, 1, 1, 1, 1, 0, 0]), [2, 5])
  }
})
