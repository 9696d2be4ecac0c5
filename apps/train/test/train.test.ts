// The trainer in this process: its files, its settings, and its refusals.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stateDict } from '@ditkit/checkpoint'
import { openPt, readSafetensors, writePt, writeSafetensors } from '@ditkit/checkpoint/node'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { loadConfig } from '../src/config/load'
import { openDevice } from '../src/device'
import { readMetrics } from '../src/run/metrics'
import { sample } from '../src/sample'
import { openTask } from '../src/task/open'
import { type TrainRequest, train, trainStep } from '../src/train'
import { openSession } from '../src/training/session'
import { TINY } from './tiny-run'

const root = mkdtempSync(join(tmpdir(), 'ditkit-train-'))
afterAll(() => rmSync(root, { recursive: true }))
beforeAll(() => {
  vi.spyOn(console, 'log').mockImplementation(() => {})
})

let folders = 0
const folder = () => join(root, String(folders++))

async function run(overrides: readonly string[], more: Partial<TrainRequest> = {}): Promise<string> {
  const out = more.out ?? folder()
  expect(await train({ recipe: 'blobs', overrides: [...TINY, ...overrides], mode: 'new', ...more, out })).toBe(true)
  return out
}

const metricsOf = (out: string) => join(out, 'output', 'dit_metrics')
const weightsOf = async (out: string, name = 'blobs') => readSafetensors(join(out, 'models', `${name}.safetensors`))

it('a run with a coupling trains, and is a function of its seed', async () => {
  const coupled = (coupling: string) =>
    run([
      'data={ kind: random, size: 8, channels: 1, classes: 3, images: 40, validation: 8 }',
      'objective=flow',
      'train.steps=6',
      `flow.coupling=${coupling}`,
    ])
  const losses = async (coupling: string) =>
    readMetrics(join(metricsOf(await coupled(coupling)), 'training_metrics.csv')).map(row => row.loss)
  const exact = await losses('exact')
  expect(exact.length).toBe(6)
  expect(await losses('exact')).toEqual(exact)
  expect(await losses('none')).not.toEqual(exact)
})

describe('a run', () => {
  let out: string
  beforeAll(async () => {
    out = await run([])
  })

  it('leaves every file of its design', () => {
    expect(readdirSync(metricsOf(out)).sort()).toEqual([
      'config.yaml',
      'generated_samples.png',
      'generated_samples.pt',
      'summary.json',
      'target_samples.png',
      'target_samples.pt',
      'training_curves.png',
      'training_metrics.csv',
    ])
    expect(readdirSync(join(out, 'checkpoints', 'blobs')).sort()).toEqual(['step-000056', 'step-000060'])
    expect(readdirSync(join(out, 'checkpoints', 'blobs', 'step-000060')).sort()).toEqual([
      'ema.safetensors',
      'model.safetensors',
      'optimizer.safetensors',
      'state.json',
    ])
  })

  it('writes a row per step, with epochs, and val_loss where it was computed; the loss falls', () => {
    const rows = readMetrics(join(metricsOf(out), 'training_metrics.csv'))
    expect(rows.map(row => row.step)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1))
    expect(rows.filter(row => row.val_loss !== undefined).map(row => row.step)).toEqual([10, 20, 30, 40, 50, 60])
    expect([rows[4].epoch, rows[5].epoch, rows[59].epoch]).toEqual([0, 1, 11])
    const mean = (part: typeof rows) => part.reduce((sum, row) => sum + row.loss, 0) / part.length
    expect(mean(rows.slice(-10))).toBeLessThan(0.8 * mean(rows.slice(0, 10)))
  })

  it('draws samples that fit the data, beside real ones', async () => {
    for (const name of ['generated_samples', 'target_samples']) {
      await using file = await openPt(join(metricsOf(out), `${name}.pt`))
      const tensors = stateDict(file.value)
      expect([...tensors.keys()]).toEqual(['samples'])
      expect(tensors.get('samples')?.shape).toEqual([4, 1, 8, 8])
      const { channels } = await sharp(join(metricsOf(out), `${name}.png`)).stats()
      expect(channels[0].stdev).toBeGreaterThan(10)
    }
  })

  it('says in the model file what it is: settings, and what t and the output mean', async () => {
    const { metadata } = await weightsOf(out)
    expect(metadata.get('ditkit.convention')).toMatch(/diffusion: 5 steps, betas linear.*gives epsilon/)
    expect(JSON.parse(metadata.get('ditkit.card')!)).toMatchObject({
      run: 'blobs',
      step: 60,
      format: { channels: 1, size: 8, classes: [] },
    })
  })

  it('can be sampled from by its name alone, with an animation of the denoising', async () => {
    const to = join(root, 'drawn')
    await sample({ model: 'blobs', out, seed: 1, count: 3, to, animation: 'webp', overrides: [] })
    const { pages } = await sharp(`${to}.webp`, { animated: true }).metadata()
    expect(pages).toBe(6)
    const first = await sharp(`${to}.webp`, { page: 0 }).removeAlpha().raw().toBuffer()
    expect(first.equals(await sharp(`${to}.webp`, { page: 5 }).removeAlpha().raw().toBuffer())).toBe(false)
    expect(existsSync(`${to}.png`) && existsSync(`${to}.pt`)).toBe(true)
  })

  it('is not overwritten unless told, and then is', async () => {
    const before = readFileSync(join(metricsOf(out), 'config.yaml'))
    await expect(run(['seed=1'], { out })).rejects.toThrow(/holds? the output of another run/)
    expect(readFileSync(join(metricsOf(out), 'config.yaml'))).toEqual(before)
    await run(['seed=1', 'train.steps=8'], { out, mode: 'overwrite' })
    expect(readMetrics(join(metricsOf(out), 'training_metrics.csv'))).toHaveLength(8)
    expect(readdirSync(join(out, 'checkpoints', 'blobs')).sort()).toEqual(['step-000007', 'step-000008'])
  })

  it('is resumed only with the settings it began with', async () => {
    const settings = [...TINY, 'seed=1', 'train.steps=8', 'model.layers=2']
    await expect(train({ recipe: 'blobs', overrides: settings, out, mode: 'resume' })).rejects.toThrow(
      'model.layers was 1, now 2',
    )
  })
})

describe('a run in bf16', () => {
  let out: string
  beforeAll(async () => {
    out = await run(['model.compute_dtype=bf16'])
  })
  const rowsOf = (folder: string) => readMetrics(join(metricsOf(folder), 'training_metrics.csv'))

  it('reaches the loss of a run in f32, by other roundings', async () => {
    const [bf16, f32] = [rowsOf(out), rowsOf(await run([]))]
    const end = (rows: typeof f32) => rows.slice(-20).reduce((sum, row) => sum + row.loss, 0) / 20
    expect(Math.abs(end(bf16) / end(f32) - 1)).toBeLessThan(0.02)
    expect(bf16.map(row => row.loss)).not.toEqual(f32.map(row => row.loss))
  })

  it('is recorded, and not resumed in f32', async () => {
    expect(readFileSync(join(metricsOf(out), 'config.yaml'), 'utf8')).toContain('compute_dtype: bf16')
    const overrides = [...TINY, 'model.compute_dtype=f32']
    await expect(train({ recipe: 'blobs', overrides, out, mode: 'resume' })).rejects.toThrow(
      'model.compute_dtype was "bf16", now "f32"',
    )
  })

  it('is drawn from in bf16 unless told otherwise', async () => {
    const images = async (...overrides: string[]) => {
      const to = join(root, 'bf16')
      await sample({ model: 'blobs', out, seed: 1, count: 2, to, animation: 'none', overrides })
      await using file = await openPt(`${to}.pt`)
      return (await stateDict(file.value).get('samples')!.read()).data as Float32Array
    }
    const drawn = await images()
    expect(await images('model.compute_dtype=bf16')).toEqual(drawn)
    expect(await images('model.compute_dtype=f32')).not.toEqual(drawn)
  })
})

it('accumulating micro-batches takes the mean of their losses, and of their gradients', async () => {
  const rowsOf = async (...overrides: string[]) => {
    const out = await run(['train.validate_every=0', ...overrides])
    return readMetrics(join(metricsOf(out), 'training_metrics.csv'))
  }
  const [accumulated] = await rowsOf('train.batch=8', 'train.accumulate=4', 'train.steps=1')
  // A rate this small leaves the weights as they are, so these are the same four micro-batches, one per step.
  const single = await rowsOf('train.batch=2', 'train.accumulate=1', 'train.steps=4', 'train.learning_rate=1e-30')
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length
  expect(accumulated.loss).toBeCloseTo(mean(single.map(row => row.loss)), 6)
  const norms = mean(single.map(row => row.grad_norm))
  expect(accumulated.grad_norm).toBeLessThanOrEqual(norms * (1 + 1e-6))
  expect(accumulated.grad_norm).toBeGreaterThan(0.4 * norms)
})

describe('fine-tuning', () => {
  let base: string
  beforeAll(async () => {
    base = await run(['train.steps=8'])
  })

  it('starts from a checkpoint, and leaves frozen weights as they were', async () => {
    const out = await run([
      `init_from=${join(base, 'checkpoints', 'blobs', 'step-000008')}`,
      'freeze=[blocks.*, "*.bias"]',
      'train.steps=3',
    ])
    const averaged = await readSafetensors(join(base, 'checkpoints', 'blobs', 'step-000008', 'ema.safetensors'))
    const tuned = await weightsOf(out)
    const same = [...tuned]
      .filter(([name, { data }]) => Buffer.from(data.buffer).equals(Buffer.from(averaged.get(name)!.data.buffer)))
      .map(([name]) => name)
    expect(same).toEqual(
      [...tuned.keys()].filter(name => name.startsWith('blocks.') || name.endsWith('.bias') || name === 'pos_embed'),
    )
  })

  it('starts from a PyTorch file as facebookresearch/DiT writes it, preferring its averaged weights', async () => {
    const checkpoint = join(base, 'checkpoints', 'blobs', 'step-000008')
    const [model, ema] = await Promise.all(
      ['model', 'ema'].map(name => readSafetensors(join(checkpoint, `${name}.safetensors`))),
    )
    const path = join(root, 'torch.pt')
    await writePt(path, { model, ema, opt: {}, args: null })
    const out = await run([`init_from=${path}`, 'freeze=[blocks.*]', 'train.steps=1'])
    const name = 'blocks.0.attn.qkv.weight'
    expect((await weightsOf(out)).get(name)).toEqual(ema.get(name))
    expect(ema.get(name)).not.toEqual(model.get(name))
  })

  it('leaves what init_skip names as initialised, and needs all the rest', async () => {
    const from = `init_from=${join(base, 'models', 'blobs.safetensors')}`
    const settings = [from, 'model.mlp_ratio=2', 'train.steps=1']
    await expect(run(settings)).rejects.toThrow('blocks.0.mlp.fc1.weight: expected [64, 32], got [128, 32]')
    await run([...settings, 'init_skip=["*.mlp.*"]'])
    await expect(run([from, 'model.layers=2', 'init_skip=[pos_embed]', 'train.steps=1'])).rejects.toThrow(
      /missing: blocks\.1\./,
    )
  })

  it.each([
    [
      'weights of another architecture',
      ['model.hidden=16'],
      /do not fit this model(.|\n)*x_embedder\.proj\.weight: expected \[16, 1, 4, 4\], got \[32, 1, 4, 4\]/,
    ],
    ['a pattern that fits no weight', ['freeze=[block.0.*]'], /no weight is named like block\.0\.\*/],
    ['freezing everything', ['freeze=["*"]'], 'leaves no weight to train'],
  ])('refuses %s', async (_, overrides, message) => {
    const settings = [...TINY, `init_from=${join(base, 'models', 'blobs.safetensors')}`, ...overrides]
    await expect(train({ recipe: 'blobs', overrides: settings, out: folder(), mode: 'new' })).rejects.toThrow(message)
  })

  it('refuses weights that are missing or cut short', async () => {
    const start = (path: string) =>
      train({ recipe: 'blobs', overrides: [...TINY, `init_from=${path}`], out: folder(), mode: 'new' })
    await expect(start('/nowhere.safetensors')).rejects.toThrow('weights /nowhere.safetensors do not exist')
    const cut = join(root, 'cut.safetensors')
    writeFileSync(cut, readFileSync(join(base, 'models', 'blobs.safetensors')).subarray(0, 5000))
    await expect(start(cut)).rejects.toThrow(/cut\.safetensors/)
  })
})

describe('a loss that is not finite', () => {
  const diverge = (rate: string, out: string) =>
    train({
      recipe: 'blobs',
      overrides: [...TINY, `train.learning_rate=${rate}`, 'train.clip=0', 'train.checkpoint_every=1'],
      out,
      mode: 'new',
    })

  it('stops the run, names the step and the first tensor, and points to the last good checkpoint', async () => {
    const out = folder()
    await expect(diverge('3e37', out)).rejects.toThrow(
      /training stopped: step 2: loss \S+, gradient norm NaN\. Replaying that batch: the first tensor that is not finite is the result of \S+ \[[\d, ]+\] in final_layer\.linear\. The last good checkpoint is .*step-000001;/,
    )
    const weights = await readSafetensors(join(out, 'checkpoints', 'blobs', 'step-000001', 'model.safetensors'))
    for (const [name, { data }] of weights) expect((data as Float32Array).every(Number.isFinite), name).toBe(true)
  })

  it('leaves no checkpoint with broken weights when a step itself overflows', async () => {
    const out = folder()
    await expect(diverge('1e39', out)).rejects.toThrow(
      /weight \S+ holds (NaN|-?Infinity) after step 1, which is not saved/,
    )
    expect(existsSync(join(out, 'checkpoints'))).toBe(false)
  })

  it('is told apart by where it begins: here in the loss', async () => {
    await expect(diverge('1e25', folder())).rejects.toThrow(
      'is the result of square [8, 1, 8, 8] after the model’s forward pass',
    )
  })

  it('is a weight when the run starts from a broken one', async () => {
    const out = await run(['train.steps=2'])
    const weights = await weightsOf(out)
    ;(weights.get('blocks.0.mlp.fc1.bias')!.data as Float32Array)[3] = Number.NaN
    const broken = join(root, 'broken.safetensors')
    await writeSafetensors(broken, weights)
    await expect(run([`init_from=${broken}`])).rejects.toThrow(
      /step 1: .*weight blocks\.0\.mlp\.fc1\.bias holds NaN\. There is no checkpoint before it/,
    )
  })
})

describe('a folder of coloured images with classes', () => {
  const photos = join(root, 'photos')
  const overrides = [
    `data.folder=${photos}`,
    'data.size=8',
    'data.validation=0.2',
    ...['model.hidden=32', 'model.layers=1', 'model.heads=2'],
    ...['train.steps=4', 'train.learning_rate=0.02', 'train.batch=4', 'train.warmup=1', 'train.validate_every=2'],
    ...['flow.sample_steps=2', 'sample.count=6', 'diffusion.steps=10', 'diffusion.sample_steps=3'],
  ]
  const start = (out: string, mode: 'new' | 'resume', ...more: string[]) =>
    train({ recipe: 'images', overrides: [...overrides, ...more], out, mode })
  beforeAll(async () => {
    for (const [at, name] of ['sea', 'sky'].entries()) {
      mkdirSync(join(photos, name), { recursive: true })
      for (let i = 0; i < 5; i++) {
        const background = { r: 200 * at, g: 40 * i, b: 255 }
        await sharp({ create: { width: 10, height: 8, channels: 3, background } })
          .png()
          .toFile(join(photos, name, `${i}.png`))
      }
    }
  })

  it.each(['flow', 'ddpm'])('trains by objective=%s and is drawn from by the names of its classes', async objective => {
    const out = folder()
    expect(await start(out, 'new', `objective=${objective}`)).toBe(true)
    const to = join(out, 'drawn')
    const request = { model: 'images', out, seed: 0, to, animation: 'gif' as const, overrides: [] }
    await sample({ ...request, labels: 'sky,sea,sky' })
    await using file = await openPt(`${to}.pt`)
    const { samples, labels } = Object.fromEntries(stateDict(file.value))
    expect(samples.shape).toEqual([3, 3, 8, 8])
    expect((await labels.read()).data).toEqual(BigInt64Array.of(1n, 0n, 1n))
    const pages = (await sharp(`${to}.gif`, { animated: true }).metadata()).pages
    expect(pages).toBe(objective === 'flow' ? 3 : 4)
    await expect(sample({ ...request, labels: 'land' })).rejects.toThrow(
      'there is no class "land" (expected some of sea, sky)',
    )
    for (const option of ['scene', 'text', 'negative'])
      await expect(sample({ ...request, [option]: 'x' })).rejects.toThrow(`--${option}: images draws images`)
  })

  it('is not resumed when the images have changed', async () => {
    const out = folder()
    await start(out, 'new')
    const background = { r: 9, g: 9, b: 9 }
    for (let i = 0; i < 5; i++) {
      await sharp({ create: { width: 8, height: 8, channels: 3, background } })
        .png()
        .toFile(join(photos, 'sea', `${i}.png`))
    }
    await expect(start(out, 'resume')).rejects.toThrow(/the training data are not those of checkpoint .*step-000004/)
  })
})

it('training leaves nothing behind: tensors and bytes after many steps are those after few', async () => {
  const { config } = loadConfig('blobs', TINY)
  const task = await openTask(config, () => {})
  const device = await openDevice(config)
  const session = await openSession(device, config, task)
  const memoryAfter = async (from: number, to: number) => {
    for (let step = from; step < to; step++) {
      const { losses, report, validation } = await trainStep(session, step)
      await Promise.all([...losses, report, validation])
      await device.ready()
    }
    const { liveTensors, liveBytes } = device.memory()
    return { liveTensors, liveBytes }
  }
  const early = await memoryAfter(0, 10)
  expect(await memoryAfter(10, 60)).toEqual(early)
  device.dispose()
})

it('a data set that is missing stops before anything is overwritten', async () => {
  const out = await run(['train.steps=2'])
  const before = readdirSync(metricsOf(out))
  const broken = train({ recipe: 'digits', overrides: ['data.folder=/nowhere'], out, mode: 'overwrite' })
  await expect(broken).rejects.toThrow('/nowhere/train-images-idx3-ubyte cannot be read')
  expect(readdirSync(metricsOf(out))).toEqual(before)
})

it('trains on the reference device when that is said, and prints how long it will take', async () => {
  await run(['device=reference', 'train.steps=2', 'train.batch=2'])
  expect(vi.mocked(console.log).mock.calls.flat()).toContainEqual(
    expect.stringMatching(/reference device is for checking; these 2 steps take it about/),
  )
})
