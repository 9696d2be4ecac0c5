import { concat, type Device, reference, reshape, rngKey, slice, type Tensor } from '@ditkit/core'
import type { EncodedCondition, PoseFrames, SceneDiT } from '@ditkit/dit-model'
import { collateScenes } from '@ditkit/scene-collate'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AnchorFrames } from './anchor'
import { type DrawAnchorsOptions, drawAnchors } from './draw-anchors'

let device: Device
beforeAll(async () => {
  device = await reference()
})
afterAll(() => {
  expect(device.memory().liveTensors).toBe(0)
  device.dispose()
})

/** What a model says of a point under the condition that it is told; the points' coordinates are what it says. */
const LOGITS = { mug: { shape: 0, named: 1 }, plate: { shape: 2, named: 0 } }
type Text = keyof typeof LOGITS
const SCENES = [
  [
    [0.5, -2, 1],
    [0, 3, 0.2],
    [-1, 0.5, -0.6],
  ],
  [
    [1.5, -0.5, 0],
    [0.3, 0.4, -1],
  ],
]

/** Its features are a frame's position and then which text it was told. */
const model = () =>
  ({
    device,
    encodeAnchors: ({ positions }: PoseFrames, { text }: { text: Text }) =>
      concat([positions, device.full([...positions.shape.slice(0, 2), 1], Object.keys(LOGITS).indexOf(text))], 2),
    proposal: {
      forward(features: Tensor, { text }: { text: Text }) {
        const places = features.shape.slice(0, 2)
        const at = (column: number) => reshape(slice(features, 2, column, column + 1), places)
        return { shape: at(LOGITS[text].shape), named: at(LOGITS[text].named) }
      },
    },
  }) as unknown as SceneDiT

const told = (text: Text, named: boolean) => ({ encoded: { text } as unknown as EncodedCondition, named })
const scenes = SCENES.map((points, b) => {
  const normals = points.flatMap((_, i) => [0, i === b ? 1 : 0, i === b ? 0 : 1])
  return {
    points: Float32Array.from(points.flat()),
    fields: { normals: { data: Float32Array.from(normals), width: 3 } },
  }
})
const batch = collateScenes(scenes)

const COUNT = 4000
async function drawn(
  options: Pick<DrawAnchorsOptions, 'condition' | 'against'> & Partial<DrawAnchorsOptions>,
  seed = 1,
  some = batch,
) {
  const { frames, anchors } = await drawAnchors(
    model(),
    some,
    { guidance: 1, temperature: 1, count: COUNT, first: 0, ...options },
    rngKey(seed),
  )
  const result = {
    frames,
    positions: (await anchors.frames.positions.data()) as Float32Array,
    rotations: (await anchors.frames.rotations!.data()) as Float32Array,
    features: (await anchors.features.data()) as Float32Array,
  }
  for (const tensor of [...Object.values(anchors.frames), anchors.features]) tensor.dispose()
  return result
}

/** How often each point of each scene was drawn. */
async function shares(options: Parameters<typeof drawn>[0]): Promise<number[][]> {
  const { frames } = await drawn(options)
  return SCENES.map((points, b) => {
    const first = Array.from({ length: COUNT }, (_, g) => frames[b].positions[3 * g])
    return points.map(([x]) => first.filter(value => value === Math.fround(x)).length / COUNT)
  })
}

/** The softmax of logits over each scene's points, to two digits. */
function softmax(logit: (point: number[]) => number): number[][] {
  return SCENES.map(points => {
    const chances = points.map(point => Math.exp(logit(point)))
    const total = chances.reduce((a, b) => a + b)
    return chances.map(chance => expect.closeTo(chance / total, 1))
  })
}

const logSigmoid = (x: number) => -Math.log1p(Math.exp(-x))

describe('anchors are drawn', () => {
  it('by shape alone without a text, and by the chance of being named too with one', async () => {
    expect(await shares({ condition: told('mug', false) })).toEqual(softmax(([x]) => x))
    expect(await shares({ condition: told('mug', true) })).toEqual(softmax(([x, y]) => x + logSigmoid(y)))
    expect(await shares({ condition: told('mug', true), temperature: 0.5 })).toEqual(
      softmax(([x, y]) => 2 * (x + logSigmoid(y))),
    )
  })

  it('as guidance leads: u + s·(c − u) of the logits, each side named or not', async () => {
    const condition = told('mug', true)
    const c = ([x, y]: number[]) => x + logSigmoid(y)
    for (const named of [true, false]) {
      const against = told('plate', named)
      const u = ([x, , z]: number[]) => z + (named ? logSigmoid(x) : 0)
      expect(await shares({ condition, against, guidance: 2.5 })).toEqual(softmax(p => u(p) + 2.5 * (c(p) - u(p))))
      expect(await shares({ condition, against, guidance: 1 })).toEqual(softmax(c))
    }
    expect(await shares({ condition, guidance: 2.5 })).toEqual(softmax(c))
  })

  it('at points of the scene, with their frames, and told what the condition says of them', async () => {
    const { frames, positions, rotations, features } = await drawn({
      condition: told('plate', true),
      against: told('mug', true),
      guidance: 3,
      count: 50,
    })
    expect(positions).toHaveLength(2 * 50 * 3)
    for (const [b, points] of SCENES.entries()) {
      expect(frames[b].count).toBe(50)
      const { data } = batch.fields.normals
      const most = batch.points.shape[1]
      const surface = {
        points: Float32Array.from(points.flat()),
        normals: Float32Array.from(data.slice(b * most * 3, (b * most + points.length) * 3)),
      }
      const known = points.map((_, row) => {
        const frame = new AnchorFrames(1)
        frame.set(0, surface, row)
        return [...frame.positions, ...frame.rotations].join()
      })
      for (let g = 0; g < 50; g++) {
        const at = (values: Float32Array, width: number) => {
          const start = (b * 50 + g) * width
          return values.slice(start, start + width)
        }
        expect(known).toContain([...at(positions, 3), ...at(rotations, 9)].join())
        expect(frames[b].positions.slice(3 * g, 3 * g + 3)).toEqual(at(positions, 3))
        expect(frames[b].rotations.slice(9 * g, 9 * g + 9)).toEqual(at(rotations, 9))
        expect(at(features, 4)).toEqual(Float32Array.of(...at(positions, 3), 1))
      }
    }
  })

  it('for a scene alone as in a batch with others', async () => {
    const { frames } = await drawn({ condition: told('mug', true), count: 20 })
    const alone = await drawn({ condition: told('mug', true), count: 20, first: 1 }, 1, collateScenes([scenes[1]]))
    expect(alone.frames).toEqual([frames[1]])
  })

  it('as the key says', async () => {
    const options = { condition: told('mug', true), count: 20 }
    const { frames } = await drawn(options)
    expect((await drawn(options)).frames).toEqual(frames)
    expect((await drawn(options, 2)).frames).not.toEqual(frames)
  })
})
