// What the tests of the cross-modal decoder have in common: a small config, its inputs, and weights from a formula.

import { type Device, rngKey, scope } from '@ditkit/core'
import { hashNormal, hashUniform, hashWeight } from '@ditkit/oracle'
import { type CrossModalConfig, CrossModalDecoder, type CrossModalInputs } from '../src'

export const BATCH = 2

export const CONFIG: CrossModalConfig = {
  hiddenSize: 12,
  heads: 2,
  layers: 2,
  queries: 5,
  classes: 3,
  boxDim: 7,
  lidar: { grid: [3, 4], channels: 6 },
  cameras: { count: 2, grid: [2, 3], channels: 5, depths: { count: 3, from: 0.5, to: 2 } },
}

/** Two cameras that look along x and along y, from outside the scene box; each sees a part of it. */
export const PROJECTION = [
  ...[0.5, -1, 0, 1, 0.5, 0, -1, 1, 1, 0, 0, 0.5],
  ...[1, 0.5, 0, 0.1, 0, 0.4, -1, 0.9, 0, 1, 0, 0.6],
]

export type FullInputs = Required<Pick<CrossModalInputs, 'lidar' | 'cameras' | 'cameraProjection'>>

export function makeInputs(device: Device): FullInputs {
  const tensor = (name: string, shape: number[]) => device.tensor(hashNormal(name, shape), shape)
  return {
    lidar: tensor('lidar', [BATCH, 12, 6]),
    cameras: tensor('cameras', [BATCH, 12, 5]),
    cameraProjection: device.tensor([...PROJECTION, ...PROJECTION], [BATCH, 2, 3, 4]),
  }
}

/** In evaluation, with weights that are a function of their names; the scale of the bias as the config has it. */
export async function hashedDecoder(device: Device, config: CrossModalConfig): Promise<CrossModalDecoder> {
  const model = new CrossModalDecoder(device, rngKey(1), config)
  const names = Object.entries(await model.stateDict()).filter(([name]) => !name.endsWith('scale_logit'))
  const record = names.map(([name, { shape }]) => {
    const values = name === 'reference_points' ? hashUniform(name, shape[0] * 3) : hashWeight(name, shape)
    return [name, { shape, dtype: 'f32', data: Float32Array.from(values) }] as const
  })
  await model.loadStateDict(new Map(record), { strict: false })
  return model.eval()
}

/** Logits and boxes as numbers. */
export async function outputs(model: CrossModalDecoder, make: () => CrossModalInputs): Promise<[number[], number[]]> {
  const result = scope(() => model.forward(make()))
  const values: [number[], number[]] = [[...(await result.logits.data())], [...(await result.boxes.data())]]
  for (const tensor of Object.values(result)) tensor.dispose()
  return values
}
