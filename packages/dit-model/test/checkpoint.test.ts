// Checkpoints that PyTorch wrote: {model, ema, opt, args: argparse.Namespace}, and a bare state dict.

import { openPt, readSafetensors } from '@ditkit/checkpoint/node'
import { type Device, noGrad, reference, rngKey, scope } from '@ditkit/core'
import { largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DiT, ditPreset, inferDiTConfig, pickDiTWeights } from '../src'
import { fixturePath, hashed } from './configs'

let device: Device
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
})
afterAll(() => expect(device.memory().liveTensors).toBe(0))

describe('a checkpoint written by PyTorch', () => {
  it.each([
    ['training-checkpoint.pt', 'ema'],
    ['training-checkpoint.pt', 'model'],
    ['state-dict.pt', 'ema'],
  ] as const)('%s loads by name and gives the same outputs (%s)', async (file, prefer) => {
    const expected = await readSafetensors(fixturePath('training-checkpoint-outputs.safetensors'))
    await using pt = await openPt(fixturePath(file))
    const weights = pickDiTWeights(pt.value, { prefer })
    const config = inferDiTConfig(weights, { numHeads: 2 })
    expect(config).toEqual({
      inputSize: 4,
      patchSize: 2,
      inChannels: 4,
      hiddenSize: 16,
      depth: 2,
      numHeads: 2,
      mlpRatio: 4,
      numClasses: 3,
      learnSigma: true,
    })
    const model = new DiT(device, rngKey(0), config).eval()
    expect(await model.loadStateDict(weights)).toEqual({ missing: [], unexpected: [] })
    const out = scope(() => noGrad(() => model.forward(hashed(device, 'checkpoint/x', [2, 4, 4, 4]), [3, 700], [2, 3])))
    expect(largestError(await out.data(), expected.get(prefer)!.data as Float32Array)).toBeLessThan(1e-6)
    out.dispose()
    model.dispose()
  })

  it('gives its average, unless asked for the weights that were trained', async () => {
    await using pt = await openPt(fixturePath('training-checkpoint.pt'))
    const read = async (options?: { prefer: 'ema' | 'model' }) => {
      const weight = pickDiTWeights(pt.value, options).get('x_embedder.proj.weight')
      return weight && 'read' in weight ? (await weight.read()).data : weight?.data
    }
    expect(await read()).toEqual(await read({ prefer: 'ema' }))
    expect(await read()).not.toEqual(await read({ prefer: 'model' }))
  })

  it('of another architecture is refused, naming what differs', async () => {
    await using pt = await openPt(fixturePath('state-dict.pt'))
    const weights = pickDiTWeights(pt.value)
    const model = new DiT(device, rngKey(0), { ...inferDiTConfig(weights, { numHeads: 2 }), depth: 3, patchSize: 1 })
    const attempt = model.loadStateDict(weights)
    await expect(attempt).rejects.toThrow(/missing \(10\): blocks\.2\.attn\.qkv\.weight/)
    await expect(attempt).rejects.toThrow(/x_embedder\.proj\.weight: expected \[16, 4, 1, 1\], got \[16, 4, 2, 2\]/)
    model.dispose()
  })

  it('without DiT weights is refused, naming what it holds', () => {
    expect(() => pickDiTWeights({ state: {}, epoch: 3 })).toThrow(/its entries are state, epoch/)
    expect(() => inferDiTConfig({})).toThrow(/x_embedder\.proj\.weight is missing/)
  })
})

describe('inferDiTConfig', () => {
  it('finds the heads of presets and asks for those of other sizes', () => {
    for (const name of ['DiT-S/2', 'DiT-XL/4'] as const) {
      const { guidedChannels, ...config } = ditPreset(name)
      expect(guidedChannels).toBe(3)
      expect(inferDiTConfig(shapesOf(config.hiddenSize, config.patchSize, config.depth))).toEqual({
        ...config,
        mlpRatio: 4,
      })
    }
    expect(() => inferDiTConfig(shapesOf(100, 2, 1))).toThrow(/leaves the number of heads open; give \{ numHeads \}/)
  })
})

/** Empty tensors of the shapes of a 32×32×4 model with 1000 classes and learned variance. */
function shapesOf(hidden: number, patch: number, depth: number) {
  const shapes: Record<string, number[]> = {
    'x_embedder.proj.weight': [hidden, 4, patch, patch],
    pos_embed: [1, (32 / patch) ** 2, hidden],
    'final_layer.linear.weight': [patch * patch * 8, hidden],
    'y_embedder.embedding_table.weight': [1001, hidden],
  }
  for (let i = 0; i < depth; i++) {
    shapes[`blocks.${i}.attn.qkv.weight`] = [3 * hidden, hidden]
    shapes[`blocks.${i}.mlp.fc1.weight`] = [4 * hidden, hidden]
  }
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, { shape, dtype: 'f32', data: new Float32Array(0) }]),
  )
}
