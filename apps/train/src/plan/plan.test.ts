// Plans against runs: what is predicted is what the CPU device then measures.

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { writeMnist } from '../../test/idx-files'
import { TINY } from '../../test/tiny-run'
import { loadConfig } from '../config/load'
import { openDevice } from '../device'
import { openTask } from '../task/open'
import type { Task } from '../task/task'
import { train, trainStep } from '../train'
import { openSession } from '../training/session'
import { totalOperations } from './figures'
import { parseMemory, showBytes } from './memory-size'
import { plan } from './plan'
import { predict } from './predict'
import { standInFor } from './stand-in'

const folder = mkdtempSync(join(tmpdir(), 'ditkit-plan-'))
afterAll(() => rmSync(folder, { recursive: true }))
beforeEach(() => {
  vi.spyOn(console, 'log').mockImplementation(() => {})
})

/** Classes, and attention over 16 tokens. */
const LATENTS = [
  'data.size=8',
  'data.images=24',
  'data.classes=5',
  'model.hidden=64',
  'model.layers=3',
  'model.heads=2',
]

/** A loss that waits for what the model says. */
const TABLES = [
  'data.scenes=4',
  'data.validation=2',
  'data.grid=12',
  'model.hidden=32',
  'train.batch=4',
  'sample.count=2',
]

async function predicted(recipe: string, overrides: readonly string[]) {
  const { config } = loadConfig(recipe, overrides)
  return predict(config, await standInFor(config))
}

/** Peak bytes of two training steps without validation, and the weights' bytes after them. */
async function measured(recipe: string, overrides: readonly string[]) {
  const { config } = loadConfig(recipe, [...overrides, 'train.validate_every=0'])
  const device = await openDevice(config)
  const session = await openSession(device, config, await openTask(config, () => {}))
  for (let step = 0; step < 2; step++) await (await trainStep(session, step)).report
  const { peakBytes } = device.memory()
  const weights = await session.model.stateDict()
  device.dispose()
  return { peakBytes, weights }
}

describe('the predicted peak of a training step is the measured one', () => {
  it.each([
    ['blobs', [...TINY]],
    ['blobs', [...TINY, 'objective=flow', 'train.batch=24']],
    ['blobs', [...TINY, 'model.layers=3', 'train.recompute=true']],
    ['dit-s', [...LATENTS]],
    ['dit-s', [...LATENTS, 'train.batch=12', 'train.accumulate=3']],
    ['dit-s', [...LATENTS, 'freeze=["blocks.0.*"]', 'model.compute_dtype=bf16']],
    ['detect', [...TABLES]],
    ['detect', [...TABLES, 'detect.bias=dense', 'train.accumulate=2', 'detect.denoising_groups=0']],
    ['detect', [...TABLES, 'detect.bias=none']],
    ['detect', [...TABLES, 'train.recompute=true']],
  ])('%s %j', async (recipe, overrides) => {
    const { peaks, components } = await predicted(recipe, overrides)
    const { peakBytes } = await measured(recipe, overrides)
    expect(Math.abs(peaks.step / peakBytes - 1)).toBeLessThan(0.1)
    expect(Object.values(components).reduce((a, b) => a + b, 0)).toBe(peaks.step)
  })
})

it('the predicted peak of a whole run, with its validation and drawing, is what its summary says', async () => {
  // Drawing takes more than a step here.
  const overrides = [...TINY, 'train.steps=3', 'train.validate_every=2', 'sample.count=30']
  const { peak, peaks } = await predicted('blobs', overrides)
  await train({ recipe: 'blobs', overrides, out: folder, mode: 'new' })
  const summary = JSON.parse(readFileSync(join(folder, 'output', 'dit_metrics', 'summary.json'), 'utf8'))
  expect(peaks.drawing).toBe(peak)
  expect(Math.abs(peak / summary.peak_device_bytes - 1)).toBeLessThan(0.1)
})

it('components are the sizes that the model has', async () => {
  const { components, parameters, operations } = await predicted('dit-s', LATENTS)
  const positions = 16 * 64
  expect(components.weights).toBe(4 * (parameters + positions))
  expect(components['averaged weights']).toBe(4 * parameters)
  expect(components['optimizer state']).toBe(2 * 4 * parameters)
  expect(components['saved activations']).toBeGreaterThan(0)
  expect(components.data).toBeGreaterThan(4 * 8 * 4 * 8 * 8)
  // Backward does twice the products of forward, but for the gradient of the images, which nobody wants.
  expect(operations.backward.matmul / operations.forward.matmul).toBeCloseTo(2, 1)
  expect(operations.forward.attention).toBe(3 * 4 * 8 * 2 * 16 * 16 * 32)
})

it('a detector is planned with its losses, and with what would take less', async () => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
  const { prediction, alternatives, memory } = await plan({ recipe: 'detect', overrides: TABLES, memory: '8GB' })
  const { components, operations } = prediction
  expect(memory.fits).toBe(true)
  expect(components['saved activations']).toBeGreaterThan(0.3 * prediction.peaks.step)
  expect(operations.forward.attention).toBeGreaterThan(0)
  expect(operations.backward.matmul / operations.forward.matmul).toBeGreaterThan(1.5)
  expect(alternatives.map(({ overrides }) => overrides)).toContainEqual(['train.accumulate=2'])
  // Nothing is computed, so no mask is known to block everything.
  expect(warn).not.toHaveBeenCalled()
  warn.mockRestore()
  const recomputed = alternatives.find(({ overrides }) => overrides.join() === 'train.recompute=true')
  expect(recomputed!.prediction.peaks.step).toBeLessThan(0.9 * prediction.peaks.step)
})

it('recomputing changes no weight of a detector', async () => {
  const dropping = [...TABLES, 'detect.dropout=0.1']
  const again = await measured('detect', [...dropping, 'train.recompute=true'])
  expect(again.weights).toEqual((await measured('detect', dropping)).weights)
})

it('recomputing saves activations, costs a forward pass, and changes no weight', async () => {
  const more = [...LATENTS, 'train.recompute=true']
  const [kept, again] = [await predicted('dit-s', LATENTS), await predicted('dit-s', more)]
  expect(again.components['saved activations']).toBeLessThan(0.5 * kept.components['saved activations'])
  const added = totalOperations(again.operations.backward) - totalOperations(kept.operations.backward)
  expect(added / totalOperations(kept.operations.forward)).toBeGreaterThan(0.9)
  expect(added / totalOperations(kept.operations.forward)).toBeLessThan(1)
  expect((await measured('dit-s', more)).weights).toEqual((await measured('dit-s', LATENTS)).weights)
})

it('a plan says that a configuration does not fit, and which other settings do', async () => {
  const json = join(folder, 'plan.json')
  const overrides = ['train.batch=256', 'data.images=256']
  const all = await plan({ recipe: 'dit-s', overrides, memory: '100TB', json })
  expect(all.memory.fits).toBe(true)
  expect(JSON.parse(readFileSync(json, 'utf8'))).toEqual(all)
  expect(all.alternatives.map(({ overrides }) => overrides.join(' '))).toContain('train.recompute=true')
  const least = Math.min(...all.alternatives.map(other => other.needed))
  expect(least).toBeLessThan(0.5 * all.memory.needed)

  const tight = await plan({ recipe: 'dit-s', overrides, memory: `${Math.ceil((1.2 * least) / 1e6)}MB` })
  expect(tight.memory.fits).toBe(false)
  expect(tight.alternatives.some(other => other.fits)).toBe(true)
  expect(vi.mocked(console.log).mock.calls.flat().join('\n')).toMatch(
    /IT DOES NOT FIT: at least .* are needed[\s\S]*The first that fits: train\./,
  )
})

it('the largest model of the paper is planned without its memory', async () => {
  const before = process.memoryUsage().rss
  const xl = ['model.hidden=1152', 'model.heads=16', 'model.layers=28']
  const { parameters, peak } = await predicted('dit-s', xl)
  expect(parameters).toBeGreaterThan(670e6)
  expect(peak).toBeGreaterThan(13e9)
  expect(process.memoryUsage().rss - before).toBeLessThan(1e9)
})

it('a data set is stood in for by its shape', async () => {
  for (const name of ['sea', 'wood']) {
    mkdirSync(join(folder, 'photos', name), { recursive: true })
    for (let i = 0; i < 5; i++)
      await sharp({ create: { width: 9, height: 7, channels: 3, background: '#123' } })
        .png()
        .toFile(join(folder, 'photos', name, `${i}.png`))
  }
  const digits = { pixels: new Uint8Array(6 * 16), labels: [0, 1, 2, 0, 1, 2] }
  writeMnist(folder, digits, digits)
  for (const overrides of [
    ['data.kind=mnist', `data.folder=${folder}`, 'data.validation=2'],
    ['data.kind=images', `data.folder=${join(folder, 'photos')}`, 'data.size=8', 'data.validation=0.2'],
  ]) {
    const { config } = loadConfig('digits', overrides)
    const { task } = await standInFor(config)
    const real = await openTask(config, () => {})
    const shapeOf = ({ format, train, validation }: Task) => [format, train.count, validation.count]
    expect(shapeOf(task)).toEqual(shapeOf(real))
  }
})

it('amounts of memory are read and shown as people write them', () => {
  expect(parseMemory('8GB')).toBe(8e9)
  expect(parseMemory('1.5 gib')).toBe(1.5 * 2 ** 30)
  for (const wrong of ['', '8', 'GB', '-1GB', '0MB', 'eight GB'])
    expect(() => parseMemory(wrong)).toThrow(/--memory .* is no amount of memory \(expected 8GB/)
  expect([0, 999, 1234, 273.4e6, -1.57e9, 15_671e6].map(showBytes)).toEqual([
    '0 B',
    '999 B',
    '1.23 kB',
    '273 MB',
    '-1.57 GB',
    '15.7 GB',
  ])
})

it('only the CPU device is planned for', async () => {
  await expect(plan({ recipe: 'blobs', overrides: ['device=reference'] })).rejects.toThrow(
    'plan is about device=cpu, not device=reference',
  )
})
