// The evaluation end to end, on a data set of two shapes that anyone can tell apart.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rngKey } from '@ditkit/core'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { readMnist } from '../src/data/mnist'
import { openDevice } from '../src/device'
import { accuracy, Classifier, openClassifier, readImages } from '../src/evaluate/classifier'
import { evaluate } from '../src/evaluate/evaluate'
import { train } from '../src/train'
import { writeMnist } from './idx-files'
import { TINY } from './tiny-run'

const root = mkdtempSync(join(tmpdir(), 'ditkit-evaluate-'))
const folder = join(root, 'shapes')
afterAll(() => rmSync(root, { recursive: true }))

/** 8 x 8 images: class 0 is a horizontal bar, class 1 a vertical one, at a random place and brightness. */
function bars(count: number, seed: number) {
  const draw = Array.from({ length: count }, (_, i) => rngKey(seed).foldIn(i).low)
  const labels = draw.map((_, i) => i % 2)
  const pixels = draw.flatMap((random, i) =>
    Array.from({ length: 64 }, (_, p) => {
      const across = i % 2 === 0 ? Math.floor(p / 8) : p % 8
      return across === 2 + (random % 4) ? 150 + (random % 100) : 0
    }),
  )
  return { pixels, labels }
}

beforeAll(() => {
  vi.spyOn(console, 'log').mockImplementation(() => {})
  mkdirSync(folder)
  writeMnist(folder, bars(2000, 1), bars(300, 2))
})

it('the classifier learns what it is to judge, and is trained once', async () => {
  const device = await openDevice({ device: 'cpu' })
  const data = readMnist(folder)
  const path = join(root, 'classifier.safetensors')
  const { images, labels } = data.test.read([...Array(300).keys()])
  const first = await readImages(await openClassifier(device, data, path), images)
  expect(accuracy(first, labels)).toBeGreaterThan(0.98)
  const untrained = await readImages(new Classifier(device, rngKey(0), 64, 2), images)
  expect(accuracy(untrained, labels)).toBeLessThan(0.9)
  const written = statSync(path).mtimeMs
  const again = await readImages(await openClassifier(device, data, path), images)
  expect(statSync(path).mtimeMs).toBe(written)
  expect(again).toEqual(first)
  device.dispose()
})

it('a run is judged with guidance, without, and beside real images', async () => {
  const out = join(root, 'run')
  const sizes = TINY.filter(setting => setting.startsWith('model.'))
  const overrides = [...sizes, `data.folder=${folder}`, 'data.validation=10', 'train.steps=3', 'train.warmup=1']
  await train({ recipe: 'digits', overrides: [...overrides, 'train.batch=8', 'sample.count=20'], out, mode: 'new' })
  await evaluate({ model: 'digits', out, overrides: ['flow.sample_steps=3'] })
  const result = JSON.parse(readFileSync(join(out, 'output', 'dit_metrics', 'evaluation.json'), 'utf8'))
  expect(result).toMatchObject({
    run: 'digits',
    guidance: 2,
    guided: { images: 20 },
    unguided: { images: 20 },
    floor: { images: 20 },
  })
  expect(result.floor.accuracy).toBe(1)
  expect(result.floor.frechet_distance).toBeLessThan(result.guided.frechet_distance)
  // Without other settings, it is the images that training drew that are judged.
  vi.mocked(console.log).mockClear()
  await evaluate({ model: 'digits', out, overrides: [] })
  const printed = vi.mocked(console.log).mock.calls.flat().join('\n')
  expect(printed).toContain('Drawing without guidance')
  expect(printed).not.toContain('Drawing with guidance')
  expect(readdirSync(join(out, 'models')).filter(name => name.startsWith('classifier-'))).toHaveLength(1)
})

it('only runs on digits can be judged', async () => {
  const out = join(root, 'blobs')
  await train({ recipe: 'blobs', overrides: [...TINY, 'train.steps=2'], out, mode: 'new' })
  await expect(evaluate({ model: 'blobs', out, overrides: [] })).rejects.toThrow('was trained on blobs')
})
