// The models of tooling/oracle/dit_fixtures.py, on weights and inputs that both sides compute from formulas.

import { type Device, rngKey, type Tensor } from '@ditkit/core'
import { hashNormal, hashWeight } from '@ditkit/oracle'
import { DiT, type DiTConfig } from '../src'

export const CONDITIONAL: DiTConfig = {
  inputSize: [6, 10],
  patchSize: 2,
  inChannels: 3,
  hiddenSize: 36,
  depth: 2,
  numHeads: 3,
  numClasses: 5,
  learnSigma: true,
}

export const UNCONDITIONAL: DiTConfig = {
  inputSize: 8,
  patchSize: 4,
  inChannels: 1,
  hiddenSize: 20,
  depth: 1,
  numHeads: 1,
  mlpRatio: 2.5,
}

export const BLOBS: DiTConfig = {
  inputSize: 16,
  patchSize: 4,
  inChannels: 1,
  hiddenSize: 128,
  depth: 4,
  numHeads: 4,
  numClasses: 10,
}

/** A model whose weights are the hashed values of their names, none of them zero. */
export async function hashedModel(device: Device, config: DiTConfig, prefix: string): Promise<DiT> {
  const model = new DiT(device, rngKey(0), config).eval()
  const weights = Array.from(model.namedParameters(), ([name, { shape }]) => {
    return [name, { shape, dtype: 'f32', data: hashWeight(prefix + name, shape) }] as const
  })
  await model.loadStateDict(new Map(weights), { strict: false })
  return model
}

export function hashed(device: Device, name: string, shape: number[]): Tensor {
  return device.tensor(hashNormal(name, shape), shape)
}

export function fixturePath(name: string): string {
  return new URL(`fixtures/${name}`, import.meta.url).pathname
}

/** Values less the key third of a `qkv.bias`: its gradient is exactly 0, so only round-off could be compared. */
export function withoutKeyThird(name: string, values: ArrayLike<number>): number[] {
  const all = Array.from(values)
  if (!name.includes('attn.qkv.bias')) return all
  const third = all.length / 3
  return [...all.slice(0, third), ...all.slice(2 * third)]
}
