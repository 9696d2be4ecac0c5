// CrossModalDecoder, outputs and all gradients, against PyTorch's float64 results on random weights none of which is zero, with masks, denoising
// queries and a bias by every route.

import { cpu } from '@ditkit/backend-cpu'
import { readSafetensors } from '@ditkit/checkpoint/node'
import { add, backward, type Device, mul, reference, scope, sum, type Tensor } from '@ditkit/core'
import { hashNormal, hashUniform, largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CrossModalConfig, type CrossModalInputs, denoisingMask } from '../src'
import { fixturePath } from './configs'
import { BATCH, CONFIG, hashedDecoder, makeInputs } from './cross-modal-models'

const DENOISING = { groups: 2, perGroup: 2, queries: 5 }

// The fixture holds float32 numbers, so the float64 reference agrees to their rounding.
const devices = [
  { name: 'reference f64', make: () => reference({ dtype: 'f64' }), bound: 1e-7 },
  { name: 'cpu', make: () => cpu(), bound: 2e-5 },
]
// The Gaussian's factors are exact here: of full rank.
const gaussian = { type: 'gaussian', sigma: { lidar: 0.3, cameras: 0.4 }, tolerance: 1e-12 } as const
const cases: { name: string; fixture: string; change: Partial<CrossModalConfig> }[] = [
  { name: 'without a bias', fixture: 'none', change: {} },
  {
    name: 'a dense window',
    fixture: 'window',
    change: {
      bias: 'dense',
      biasShape: { type: 'window', cells: 3 },
      biasScale: { init: 3 },
      firstContent: 'position',
    },
  },
  ...(['dense', 'factored'] as const).map(bias => ({
    name: `a ${bias} Gaussian`,
    fixture: 'gaussian',
    change: { bias, biasShape: gaussian, biasScale: { init: 1.25 }, firstContent: 'position' as const },
  })),
]

/** Masks and denoising queries; what is masked holds NaN. */
function masked(device: Device): CrossModalInputs {
  const rows = (of: string, width: number, takesPart: (scene: number, token: number) => boolean) => {
    const mask = Uint8Array.from({ length: BATCH * 12 }, (_, i) => Number(takesPart(Math.floor(i / 12), i % 12)))
    const values = hashNormal(of, [BATCH, 12, width]).map((x, i) => (mask[Math.floor(i / width)] ? x : Number.NaN))
    return {
      tokens: device.tensor(values, [BATCH, 12, width], { requiresGrad: true }),
      mask: device.tensor(mask, [BATCH, 12]),
    }
  }
  // The second scene lacks cells, and its second camera.
  const lidar = rows('lidar', 6, (scene, token) => (scene === 0 ? token < 7 : token >= 5))
  const cameras = rows('cameras', 5, (scene, token) => scene === 0 || token < 6)
  // The second scene's last denoising query is empty: it sees and shows only itself.
  const [empty, all] = [3, 9]
  const scenes = Array.from({ length: BATCH }, () => denoisingMask(DENOISING))
  for (let i = 0; i < all; i++) scenes[1]![empty * all + i] = scenes[1]![i * all + empty] = Number(i === empty)
  return {
    lidar: lidar.tokens,
    lidarMask: lidar.mask,
    cameras: cameras.tokens,
    cameraMask: cameras.mask,
    dnQueries: device.tensor(hashUniform('denoising', BATCH * 4 * 3), [BATCH, 4, 3], { requiresGrad: true }),
    dnMask: device.tensor(Uint8Array.from(scenes.flatMap(mask => [...mask])), [BATCH, all, all]),
  }
}

describe.each(devices)('CrossModalDecoder on $name', ({ make, bound }) => {
  let device: Device
  beforeAll(async () => {
    device = await make()
  })
  afterAll(() => {
    expect(device.memory().liveTensors).toBe(0)
    device.dispose()
  })

  it.each(cases)('equals PyTorch in outputs and gradients: $name', async ({ fixture, change }) => {
    const expected = await readSafetensors(fixturePath(`cross-modal-${fixture}.safetensors`))
    const model = await hashedDecoder(device, { ...CONFIG, ...change })
    const plain = makeInputs(device)
    const inputs: CrossModalInputs = { ...plain, ...(fixture === 'none' ? {} : masked(device)) }
    const differentiated = ['lidar', 'cameras', 'cameraProjection', 'dnQueries'] as const
    for (const name of differentiated) if (inputs[name]) inputs[name].requiresGrad = true
    const { logits, boxes, biasScale, modalityWeights } = scope(() => {
      const result = model.forward(inputs)
      const weighted = (x: Tensor, name: string) => sum(mul(x, device.tensor(hashNormal(name, x.shape), x.shape)))
      backward(add(weighted(result.logits, 'logits'), weighted(result.boxes, 'boxes')))
      return result
    })
    const actual = new Map<string, Tensor>(
      Object.entries({ logits, boxes, ...(modalityWeights && { modalityWeights }) }),
    )
    for (const name of differentiated) if (inputs[name]) actual.set(`${name}.grad`, inputs[name].grad!)
    for (const [key, { grad }] of model.namedParameters()) actual.set(`${key}.grad`, grad!)
    expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort())
    // Queries that begin with zeros are all alike: what they first make of each other has no gradient but rounding.
    if (fixture === 'none') actual.delete('layers.0.self_attn.in_proj_weight.grad')
    for (const [key, tensor] of actual) {
      const { data, shape } = expected.get(key)!
      expect(tensor.shape, key).toEqual(shape)
      expect(largestError(await tensor.data(), data as Float32Array), key).toBeLessThan(bound)
    }
    if (biasScale) expect(await biasScale.item()).toBeCloseTo(change.biasScale!.init!, 5)
    const owners = [logits, boxes, biasScale, modalityWeights, model, ...Object.values(plain), ...Object.values(inputs)]
    for (const owner of new Set(owners)) owner?.dispose()
  })
})
