// The recipe `detect` end to end, in miniature: training with every bias, going on from a checkpoint, and the evaluation.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stateDict } from '@ditkit/checkpoint'
import { openPt } from '@ditkit/checkpoint/node'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ablate } from '../src/ablate/ablate'
import { loadConfig } from '../src/config/load'
import { openDevice } from '../src/device'
import { evaluate } from '../src/evaluate/evaluate'
import { readMetrics } from '../src/run/metrics'
import { sample } from '../src/sample'
import { openTask } from '../src/task/open'
import { train, trainStep } from '../src/train'
import { openSession } from '../src/training/session'

const SMALL = [
  'data.scenes=6',
  'data.validation=5',
  'data.most_objects=3',
  'data.points=[60,90]',
  'data.camera_points=200',
  'data.grid=8',
  'data.cameras=1',
  'model.hidden=16',
  'model.layers=2',
  'model.heads=2',
  'model.mlp_ratio=2',
  'detect.queries=6',
  'detect.bias=none',
  'detect.denoising_groups=2',
  'train.batch=4',
  'train.steps=6',
  'train.warmup=1',
  'train.validate_every=3',
  'train.checkpoint_every=3',
  'sample.count=3',
]

const root = mkdtempSync(join(tmpdir(), 'ditkit-detect-'))
const out = join(root, 'run')
const metricsOf = (folder: string) => join(folder, 'output', 'dit_metrics')
afterAll(() => rmSync(root, { recursive: true }))
beforeAll(async () => {
  vi.spyOn(console, 'log').mockImplementation(() => {})
  await train({ recipe: 'detect', overrides: SMALL, out, mode: 'new' })
})

async function samplesIn(path: string) {
  await using file = await openPt(path)
  return await stateDict(file.value).get('samples')!.read()
}

describe('a run', () => {
  it('trains with scores on held-out objects, and writes model, pictures and boxes', async () => {
    const rows = readMetrics(join(metricsOf(out), 'training_metrics.csv'))
    expect(rows.map(row => row.val_loss !== undefined)).toEqual([false, false, true, false, false, true])
    expect(Object.keys(rows[5].figures!)).toEqual(['recall_5cm', 'recall_10cm', 'recall_named', 'centre_error'])
    expect(rows[5].figures!.centre_error).toBeGreaterThan(0)
    expect(rows[5].figures!.centre_error).toBeLessThan(1)
    expect(Object.keys(rows[4].figures!)).toEqual([])
    expect(readdirSync(metricsOf(out))).toEqual(
      expect.arrayContaining(['generated_samples.png', 'target_samples.png', 'training_curves.png']),
    )
    const found = await samplesIn(join(metricsOf(out), 'generated_samples.pt'))
    expect(found.shape).toEqual([3, 6, 9])
    expect((found.data as Float32Array).every(Number.isFinite)).toBe(true)
    expect((await samplesIn(join(metricsOf(out), 'target_samples.pt'))).shape[2]).toBe(9)
    const summary = JSON.parse(readFileSync(join(metricsOf(out), 'summary.json'), 'utf8'))
    expect(summary.centre_error).toBe(rows[5].figures!.centre_error)
  })

  it('goes on from a checkpoint to the same weights and metrics, bit for bit', async () => {
    const other = join(root, 'resumed')
    await train({ recipe: 'detect', overrides: SMALL, out: other, mode: 'new' })
    rmSync(join(other, 'checkpoints', 'detect', 'step-000006'), { recursive: true })
    await train({ recipe: 'detect', overrides: SMALL, out: other, mode: 'resume' })
    const files = (folder: string) =>
      [join(folder, 'models', 'detect.safetensors'), join(metricsOf(folder), 'training_metrics.csv')].map(file =>
        readFileSync(file),
      )
    for (const [i, bytes] of files(other).entries()) expect(bytes.equals(files(out)[i])).toBe(true)
  })
})

describe('the bias', () => {
  const biased = (bias: string, ...more: string[]) => [
    ...SMALL,
    `detect.bias=${bias}`,
    'detect.window=3',
    'detect.sigma=[0.25,0.3]',
    'train.validate_every=0',
    'train.decay=constant',
    ...more,
  ]
  const scaleOf = async (name: string, overrides: string[]) => {
    const folder = join(root, name)
    await train({ recipe: 'detect', overrides, out: folder, mode: 'new' })
    const rows = readMetrics(join(metricsOf(folder), 'training_metrics.csv'))
    const summary = JSON.parse(readFileSync(join(metricsOf(folder), 'summary.json'), 'utf8'))
    expect(summary.bias_scale).toBe(rows[5].figures!.bias_scale)
    return rows.map(row => row.figures!)
  }

  it.each([
    ['dense', 'window'],
    ['dense', 'gaussian'],
    ['factored', 'gaussian'],
  ])('as a %s %s has a scale and weights that move, and are in the metrics of every step', async (bias, shape) => {
    const figures = await scaleOf(`${bias}-${shape}`, biased(bias, `detect.bias_shape=${shape}`))
    expect(figures.map(row => Object.keys(row).sort())).toEqual(
      Array.from({ length: 6 }, () => ['bias_scale', 'camera_weight', 'lidar_weight']),
    )
    expect(figures[0].bias_scale).toBeCloseTo(2.5, 5)
    expect(Math.abs(figures[5].bias_scale - figures[0].bias_scale)).toBeGreaterThan(1e-3)
    for (const name of ['lidar_weight', 'camera_weight']) {
      expect(Math.abs(figures[5][name] - figures[0][name])).toBeGreaterThan(1e-4)
      expect(Math.abs(figures[5][name])).toBeLessThan(1)
    }
  })

  it('keeps a scale that is not to be learned', async () => {
    const figures = await scaleOf('frozen', biased('dense', 'detect.learn_bias_scale=false', 'detect.bias_scale=3'))
    for (const { bias_scale } of figures) expect(bias_scale).toBeCloseTo(3, 5)
    expect(new Set(figures.map(({ bias_scale }) => bias_scale)).size).toBe(1)
  })
})

it('an ablation trains every variant, tabulates it, and does nothing twice', async () => {
  const request = {
    overrides: [...SMALL, 'detect.window=3', 'detect.sigma=[0.25,0.3]', 'sample.count=1'].filter(
      setting => !/^train\.(steps|warmup|validate)|detect\.bias/.test(setting),
    ),
    out: join(root, 'ablation'),
    steps: 2,
    seeds: 1,
    scenes: 4,
  }
  const variants = await ablate(request)
  expect(variants!.map(({ name, runs }) => [name, runs.length])).toEqual([
    ['no bias', 1],
    ['dense window, scale learned', 1],
    ['dense window, scale frozen', 1],
    ['dense Gaussian, scale learned', 1],
    ['dense Gaussian, scale frozen', 1],
    ['factored Gaussian, scale learned', 1],
    ['factored Gaussian, scale frozen', 1],
  ])
  const [none, learned] = variants!
  expect(none.mean.bias_scale).toBeUndefined()
  expect(learned.mean.bias_scale).not.toBe(variants![2].mean.bias_scale)
  const folder = join(request.out, 'output', 'ablation')
  const table = readFileSync(join(folder, 'ablation.md'), 'utf8')
  expect(table.match(/^\| .*\|$/gm)).toHaveLength(2 + 7)
  expect(readdirSync(folder)).toContain('ablation.png')
  expect(await ablate(request)).toEqual(variants)
  expect(readFileSync(join(folder, 'ablation.md'), 'utf8')).toBe(table)
})

it('steps leave nothing behind', async () => {
  const { config } = loadConfig('detect', SMALL)
  const task = await openTask(config, () => {})
  const device = await openDevice(config)
  const session = await openSession(device, config, task)
  const liveAfter = async (from: number, to: number) => {
    for (let step = from; step < to; step++) {
      const { losses, report } = await trainStep(session, step)
      await Promise.all([...losses, report])
    }
    return device.memory().liveTensors
  }
  const early = await liveAfter(0, 3)
  expect(await liveAfter(3, 9)).toBe(early)
  device.dispose()
})

it('eval scores it on held-out objects beside another scene', async () => {
  await evaluate({ model: 'detect', out, overrides: [] })
  const result = JSON.parse(readFileSync(join(metricsOf(out), 'evaluation.json'), 'utf8'))
  expect(result.scenes).toBe(256)
  for (const score of [result, result.wrong_scene]) {
    expect(score.recall_5cm).toBeLessThanOrEqual(score.recall_10cm)
    expect(score.centre_error).toBeGreaterThan(0)
  }
})

describe('what does not fit is refused', () => {
  it('by sample, which says what there is in its place', async () => {
    const request = { model: 'detect', out, seed: 0, to: join(root, 'x'), animation: 'none' as const, overrides: [] }
    await expect(sample(request)).rejects.toThrow('ditkit eval detect scores it')
  })

  it('another objective, other data, factors of a window, and fewer queries than objects', () => {
    expect(() => loadConfig('detect', ['objective=flow'])).toThrow('goes with objective=set-prediction')
    expect(() => loadConfig('digits', ['objective=set-prediction'])).toThrow('goes with objective=set-prediction')
    expect(() => loadConfig('detect', ['model.compute_dtype=bf16'])).toThrow('a detector knows no model.compute_dtype')
    expect(() => loadConfig('detect', ['detect.window=4'])).toThrow('no cell is in the middle')
    expect(() => loadConfig('detect', ['detect.bias_shape=window'])).toThrow('a window has no low rank')
    expect(() => loadConfig('detect', ['detect.queries=3'])).toThrow('every object needs a query of its own')
  })
})
