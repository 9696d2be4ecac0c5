import { type Device, reference, rngKey, scope, type Tensor } from '@ditkit/core'
import { hashNormal, largestError } from '@ditkit/oracle'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FRAME, setHashed } from '../test/scene-models'
import { LocatedCrossAttention } from './located-attention'
import { poseFrames } from './pose-geometry'

const [B, G, M, C] = [2, 3, 7, 8]

let device: Device
let attention: LocatedCrossAttention
beforeAll(async () => {
  device = await reference({ dtype: 'f64' })
  attention = new LocatedCrossAttention(device, rngKey(0), {
    hiddenSize: C,
    numHeads: 2,
    qkNorm: true,
    computeDtype: 'f32',
  })
  await setHashed(attention, 'located/')
})
afterAll(() => {
  attention.dispose()
  expect(device.memory().liveTensors).toBe(0)
})

const POSES = hashNormal('located/poses', [B, G, FRAME])
const PLACES = hashNormal('located/places', [B, M, 3])

/** Vectors after half a turn about (2, 3, 6)/7 and then 0.4 radians about z; those that are places then moved, too. */
function moved(vectors: Float32Array, isPlace: (vector: number) => boolean): Float32Array {
  const axis = [2 / 7, 3 / 7, 6 / 7]
  const [c, s] = [Math.cos(0.4), Math.sin(0.4)]
  return vectors.map((_, i) => {
    const first = i - (i % 3)
    const along = axis.reduce((sum, value, k) => sum + value * vectors[first + k], 0)
    const [x, y, z] = axis.map((value, k) => 2 * along * value - vectors[first + k])
    const turned = [c * x - s * y, s * x + c * y, z][i % 3]
    return isPlace(first / 3) ? turned + [5, -2, 1][i % 3] : turned
  })
}

/** What poses read of tokens, the last of which is padding. */
async function read(poses: Float32Array, places: Float32Array): Promise<number[]> {
  const out: Tensor = scope(() => {
    const some = (name: string, count: number) => device.tensor(hashNormal(name, [B, count, C]), [B, count, C])
    const mask = Uint8Array.from({ length: B * M }, (_, i) => Number(i % M < M - 1))
    return attention.forward(some('located/x', G), some('located/context', M), {
      keyMask: device.tensor(mask, [B, M]),
      places: {
        frames: poseFrames(device.tensor(poses, [B, G, FRAME]), 'rotation-6d', 1),
        positions: device.tensor(places, [B, M, 3]),
      },
    })
  })
  const values = [...(await out.data())]
  out.dispose()
  return values
}

describe('what poses read of where they look', () => {
  const everyPlace = () => true
  const firstOfThree = (vector: number) => vector % 3 === 0

  it('is the same when they and all that they look at turn and move together', async () => {
    const together = await read(moved(POSES, firstOfThree), moved(PLACES, everyPlace))
    expect(largestError(together, await read(POSES, PLACES))).toBeLessThan(1e-5)
  })

  it('is another when they move alone, turn alone, or look at things elsewhere', async () => {
    const here = await read(POSES, PLACES)
    const shifted = POSES.map((value, i) => (i % FRAME < 3 ? value + 1 : value))
    const turned = moved(POSES, () => false).map((value, i) => (i % FRAME < 3 ? POSES[i] : value))
    for (const values of [
      await read(shifted, PLACES),
      await read(turned, PLACES),
      await read(POSES, moved(PLACES, everyPlace)),
    ])
      expect(largestError(values, here)).toBeGreaterThan(1e-2)
  })

  it('owes nothing to where padding stands', async () => {
    const without = PLACES.map((value, i) => (Math.floor(i / 3) % M === M - 1 ? Number.NaN : value))
    expect(await read(POSES, without)).toEqual(await read(POSES, PLACES))
  })

  it('cannot be told without places', () => {
    const [x, context] = [device.zeros([B, G, C]), device.zeros([B, M, C])]
    expect(() => attention.forward(x, context, {})).toThrow('LocatedCrossAttention: options.places is missing')
    for (const tensor of [x, context]) tensor.dispose()
  })
})
