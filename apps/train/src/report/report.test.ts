import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stateDict } from '@ditkit/checkpoint'
import { openPt } from '@ditkit/checkpoint/node'
import sharp from 'sharp'
import { afterAll, describe, expect, it } from 'vitest'
import { curvesPng } from './curves'
import { gridAnimation, gridPng, type Images } from './grid'
import { duration } from './progress'
import { chooseShown, writeSamples } from './samples'

const root = mkdtempSync(join(tmpdir(), 'ditkit-report-'))
afterAll(() => rmSync(root, { recursive: true }))

/** `count` images of one colour each, from black to white. */
function shades(count: number, channels = 1, side = 4): Images {
  const pixels = channels * side * side
  const data = Float32Array.from({ length: count * pixels }, (_, i) => (2 * Math.floor(i / pixels)) / (count - 1) - 1)
  return { data, shape: [count, channels, side, side] }
}

async function decode(png: Buffer) {
  const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  return {
    ...info,
    at: (x: number, y: number) => [...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3)],
  }
}

describe('a grid', () => {
  it('shows the images row by row, black at −1 and white at 1, large enough to look at', async () => {
    const png = await decode(await gridPng(shades(4), { columns: 2, rows: 2 }))
    expect(Math.max(png.width, png.height)).toBeGreaterThanOrEqual(800)
    const [near, far] = [png.width / 4, (3 * png.width) / 4].map(Math.round)
    const shade = (value: number) => [value, value, value]
    expect([png.at(near, near), png.at(far, near), png.at(near, far), png.at(far, far)]).toEqual([
      shade(0),
      shade(85),
      shade(170),
      shade(255),
    ])
  })

  it('shows three channels as red, green and blue, and clamps what is outside −1 … 1', async () => {
    const data = new Float32Array(12).fill(-9)
    data.fill(9, 0, 4)
    const png = await decode(await gridPng({ data, shape: [1, 3, 2, 2] }, { columns: 1, rows: 1 }))
    expect(png.at(png.width >> 1, png.height >> 1)).toEqual([255, 0, 0])
  })
})

it.each(['gif', 'webp'] as const)('an animation (%s) has one page per frame, and its frames differ', async format => {
  const frames = [shades(4), shades(4), shades(4)].map((images, i) => ({
    ...images,
    data: images.data.map(v => v * (i / 2)),
  }))
  const bytes = await gridAnimation(frames, { columns: 2, rows: 2 }, format)
  const { pages, loop, delay } = await sharp(bytes, { animated: true }).metadata()
  expect({ pages, loop, delay }).toEqual({ pages: 3, loop: 0, delay: [80, 80, 2000] })
  const means = await Promise.all([0, 2].map(async page => (await sharp(bytes, { page }).stats()).channels[0].stdev))
  expect(means[1]).toBeGreaterThan(means[0] + 20)
})

describe('samples', () => {
  it('open as a dict of f32 samples and i64 labels', async () => {
    const path = join(root, 'generated_samples')
    await writeSamples(path, { ...shades(6), data: shades(6).data.map(v => v * 3) }, Int32Array.of(0, 0, 1, 1, 2, 2))
    await using file = await openPt(`${path}.pt`)
    const { samples, labels } = Object.fromEntries(stateDict(file.value))
    expect([samples.shape, samples.dtype, labels.shape, labels.dtype]).toEqual([[6, 1, 4, 4], 'f32', [6], 'i64'])
    expect((await labels.read()).data).toEqual(BigInt64Array.of(0n, 0n, 1n, 1n, 2n, 2n))
    const { data } = (await samples.read()) as { data: Float32Array }
    expect([Math.min(...data), Math.max(...data)]).toEqual([-1, 1])
  })

  it('have no labels where there are no classes', async () => {
    const path = join(root, 'unconditional')
    await writeSamples(path, shades(5), undefined)
    await using file = await openPt(`${path}.pt`)
    expect([...stateDict(file.value).keys()]).toEqual(['samples'])
  })

  it('of ten classes are shown as ten rows of ten', () => {
    const labels = Int32Array.from({ length: 1000 }, (_, i) => Math.floor(i / 100))
    const { indices, layout } = chooseShown(1000, labels)
    expect(layout).toEqual({ columns: 10, rows: 10 })
    expect(indices.map(i => labels[i])).toEqual(Array.from({ length: 100 }, (_, i) => Math.floor(i / 10)))
  })

  it('few in number stand in one row, in the order they were asked for', () => {
    expect(chooseShown(4, Int32Array.of(2, 0, 2, 6))).toEqual({
      indices: [0, 1, 2, 3],
      layout: { columns: 4, rows: 1 },
    })
  })

  it('of many classes are spread over all of them', () => {
    const labels = Int32Array.from({ length: 500 }, (_, i) => Math.floor(i / 10))
    const { indices } = chooseShown(500, labels)
    expect(new Set(indices.map(i => labels[i])).size).toBe(50)
  })
})

it('training curves are drawn: lines, text and more than one colour', async () => {
  const rows = Array.from({ length: 50 }, (_, i) => ({
    step: i + 1,
    epoch: 0,
    loss: 1 / (i + 1),
    learning_rate: 1e-3,
    grad_norm: i === 9 ? 0 : 1,
  }))
  const { channels, isOpaque } = await sharp(await curvesPng(rows, 'a run')).stats()
  expect(isOpaque).toBe(true)
  for (const { mean, stdev } of channels.slice(0, 3)) {
    expect(mean).toBeGreaterThan(200)
    expect(stdev).toBeGreaterThan(5)
  }
  const withValidation = rows.map((row, i) => (i % 10 === 9 ? { ...row, val_loss: row.loss } : row))
  expect(await curvesPng(withValidation, 'a run')).not.toEqual(await curvesPng(rows, 'a run'))
})

it.each([
  [42, '42 s'],
  [185, '3 min 5 s'],
  [7440, '2 h 4 min'],
  [Number.POSITIVE_INFINITY, '?'],
])('%d seconds read %s', (seconds, text) => {
  expect(duration(seconds)).toBe(text)
})
