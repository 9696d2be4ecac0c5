// The recipe `grasp` end to end, in miniature: training, drawing for a cloud of one's own, and the evaluation.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stateDict } from '@ditkit/checkpoint'
import { openPt } from '@ditkit/checkpoint/node'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { evaluate } from '../src/evaluate/evaluate'
import { objectFolder } from '../src/package-files'
import { readMetrics } from '../src/run/metrics'
import { sample } from '../src/sample'
import { train } from '../src/train'

const SMALL = [
  'data.scenes=8',
  'data.validation=4',
  'data.points=[24,40]',
  'data.grasps=4',
  'data.several=0.5',
  'data.stretch=1.1',
  'model.hidden=16',
  'model.layers=1',
  'model.heads=2',
  'scene.tokens=8',
  'scene.neighbors=4',
  'scene.local_neighbors=4',
  'flow.solver=euler',
  'flow.sample_steps=2',
  'train.batch=4',
  'train.steps=6',
  'train.warmup=1',
  'train.validate_every=3',
  'train.checkpoint_every=3',
  'sample.count=3',
]

/** The objects that come with the app. */
const SHIPPED: { split: string; grasps: number }[] = JSON.parse(
  readFileSync(join(objectFolder, 'objects.json'), 'utf8'),
).objects

const root = mkdtempSync(join(tmpdir(), 'ditkit-grasp-'))
const out = join(root, 'run')
const metrics = join(out, 'output', 'dit_metrics')
afterAll(() => rmSync(root, { recursive: true }))
beforeAll(async () => {
  vi.spyOn(console, 'log').mockImplementation(() => {})
  await train({ recipe: 'grasp', overrides: SMALL, out, mode: 'new' })
})

async function samplesIn(path: string) {
  await using file = await openPt(path)
  return await stateDict(file.value).get('samples')!.read()
}

describe('a run', () => {
  it('trains with a validation loss, and writes model, pictures and poses', async () => {
    const rows = readMetrics(join(metrics, 'training_metrics.csv'))
    expect(rows.map(row => row.val_loss !== undefined)).toEqual([false, false, true, false, false, true])
    expect(readdirSync(metrics)).toEqual(expect.arrayContaining(['generated_samples.png', 'target_samples.png']))
    for (const name of ['generated_samples', 'target_samples']) {
      const { shape, data } = await samplesIn(join(metrics, `${name}.pt`))
      expect(shape).toEqual([3, 4, 10])
      expect((data as Float32Array).every(Number.isFinite)).toBe(true)
    }
  })

  it('goes on from a checkpoint to the same weights, bit for bit', async () => {
    const other = join(root, 'resumed')
    await train({ recipe: 'grasp', overrides: SMALL, out: other, mode: 'new' })
    rmSync(join(other, 'checkpoints', 'grasp', 'step-000006'), { recursive: true })
    await train({ recipe: 'grasp', overrides: SMALL, out: other, mode: 'resume' })
    const model = (folder: string) => readFileSync(join(folder, 'models', 'grasp.safetensors'))
    expect(model(other).equals(model(out))).toBe(true)
  })

  it.each([
    ['flow.coupling=exact'],
    ['objective=ddpm', 'diffusion.steps=4'],
    ['scene.encoder=perceiver', 'scene.distance_bias=false', 'scene.point_values=false'],
    ['scene.blocks=double-stream', 'scene.distance_bias=false', 'scene.point_values=false'],
    ['scene.anchors=false', 'scene.own_axes=false', 'scene.pose_frame=position'],
  ])(
    'trains with %s',
    async (...settings) => {
      const overrides = [...SMALL, 'train.steps=2', 'sample.count=1', ...settings]
      const folder = join(root, settings.join())
      await train({ recipe: 'grasp', overrides, out: folder, mode: 'new' })
      const rows = readMetrics(join(folder, 'output', 'dit_metrics', 'training_metrics.csv'))
      expect(rows.map(row => Number.isFinite(row.loss) && row.grad_norm! > 0)).toEqual([true, true])
    },
    60_000,
  )
})

describe("objects of one's own", () => {
  const folder = join(root, 'objects')
  const overrides = [...SMALL, 'train.steps=2', 'sample.count=1', `data.folder=${folder}`]
  const write = (change: (entries: { split: string; text: string }[]) => void) => {
    const index = JSON.parse(readFileSync(join(objectFolder, 'objects.json'), 'utf8'))
    change(index.objects)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'objects.json'), JSON.stringify(index))
    copyFileSync(join(objectFolder, 'objects.bin'), join(folder, 'objects.bin'))
  }
  const run = (out: string, ...more: string[]) =>
    train({ recipe: 'grasp', overrides: [...overrides, ...more], out: join(root, out), mode: 'new' })

  it('that cannot be used stop a run, or are left out and counted', async () => {
    write(entries => {
      entries[3].text = ''
    })
    await expect(run('strict')).rejects.toThrow(/object .*: text: is empty.*data\.skip_broken=true/)
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    expect(await run('lenient', 'data.skip_broken=true')).toBe(true)
    expect(warn).toHaveBeenCalledOnce()
    warn.mockRestore()
    const summary = JSON.parse(readFileSync(join(root, 'lenient', 'output', 'dit_metrics', 'summary.json'), 'utf8'))
    expect(summary.skipped_objects).toBe(1)
    expect(summary.training_objects + summary.held_out_objects).toBe(SHIPPED.length - 1)
  })

  it('with a text that the model cannot read whole, or none to hold out, are named', async () => {
    write(entries => {
      entries[5].text = 'mug '.repeat(200)
    })
    await expect(run('long')).rejects.toThrow(/object \S+: text \("mug.*400 word pieces/)
    write(entries => {
      for (const entry of entries) entry.split = 'train'
    })
    await expect(run('whole')).rejects.toThrow("no object of the split 'held-out' has a grasp")
  })
})

describe('sample --scene', () => {
  const to = join(root, 'drawn')
  const request = { model: 'grasp', out, seed: 0, to, animation: 'none' as const, overrides: [] }

  it('draws grasps for a cloud of points without normals, in the coordinates of the cloud', async () => {
    const scene = join(root, 'box.xyz')
    const side = [0, 1, 2, 3, 4]
    writeFileSync(
      scene,
      side.flatMap(x => side.flatMap(y => side.map(z => `${5 + x / 100} ${y / 100} ${z / 100}`))).join('\n'),
    )
    await sample({ ...request, scene, text: 'a box', count: 5 })
    const { shape, data } = await samplesIn(`${to}.pt`)
    expect(shape).toEqual([1, 5, 10])
    // An untrained model draws near its noise: within a metre of the cloud, which lies five metres off.
    for (let g = 0; g < 5; g++) expect(Math.abs((data as Float32Array)[g * 10] - 5)).toBeLessThan(1)
    await sample({ ...request, scene, up: '-z', count: 5 })
    await using file = await openPt(`${to}.pt`)
    const frame = await stateDict(file.value).get('frame')!.read()
    // Half a turn about x, then up by the height of the box.
    const expected = [1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 0.04, 0, 0, 0, 1]
    for (const [i, value] of expected.entries()) expect((frame.data as Float32Array)[i]).toBeCloseTo(value, 6)
    expect(readdirSync(root)).toContain('drawn.png')
  })

  it('is led away from a negative text, which needs guidance, and from nothing by the text itself', async () => {
    const scene = join(root, 'box.xyz')
    const draw = async (guidance: number, text?: string, negative?: string) => {
      await sample({ ...request, scene, text, negative, guidance, count: 5 })
      return (await samplesIn(`${to}.pt`)).data as Float32Array
    }
    const plain = await draw(1, 'a mug')
    const same = await draw(3, 'a mug', 'a mug')
    for (let i = 0; i < plain.length; i++) expect(Math.abs(same[i] - plain[i])).toBeLessThan(1e-5)
    const away = await draw(3, 'a mug', 'a lamp')
    expect(away).not.toEqual(await draw(3, 'a mug'))
    expect(away).not.toEqual(same)
    // A negative text alone leads away from itself, towards anything.
    const anything = await draw(2, undefined, 'a lamp')
    expect(anything).not.toEqual(await draw(1))
    expect(anything).not.toEqual(await draw(2, undefined, 'a mug'))
    await expect(draw(2)).rejects.toThrow(/^--guidance 2: .* is guided by texts alone; say --text, or --negative/)
    await expect(draw(1, 'a mug', 'a lamp')).rejects.toThrow('--negative has no influence without guidance')
    await expect(draw(2, 'a mug', ' ')).rejects.toThrow('--negative is empty')
    await expect(draw(2, 'mug '.repeat(200))).rejects.toThrow('--text ("mug mug')
  })

  it.for([
    ['table_scene_lms400.pcd', 'z', false],
    ['table_scene_lms400.pcd', 'z', true],
    ['table_scene_mug_stereo_textured.pcd', '-y', true],
    ['correspondence_grouping/milk_cartoon_all_small_clorox.pcd', 'y', true],
  ] as const)(
    'draws, with a picture, for the real tabletop scan %s (--up %s, --table: %s)',
    async ([name, up, table], { skip }) => {
      const scene = join('/usr/share/doc/python3-pcl/examples/pcldata/tutorials', name)
      if (!existsSync(scene)) skip("needs the scans of Debian's python3-pcl")
      await sample({ ...request, to: join(root, 'scan'), scene, up, table, text: 'a mug', count: 5 })
      const { data } = await samplesIn(join(root, 'scan.pt'))
      expect((data as Float32Array).every(Number.isFinite)).toBe(true)
      expect(readFileSync(join(root, 'scan.png')).subarray(1, 4).toString()).toBe('PNG')
    },
  )

  it('asks for a scene, and names the file that is none', async () => {
    await expect(sample(request)).rejects.toThrow('--scene FILE')
    await expect(sample({ ...request, scene: 'box.xyz', labels: '3' })).rejects.toThrow('--labels: grasp draws grasps')
    const broken = join(root, 'broken.ply')
    writeFileSync(broken, 'ply\nformat ascii 1.0\nelement vertex 3\n')
    await expect(sample({ ...request, scene: broken })).rejects.toThrow(/broken\.ply/)
    await expect(sample({ ...request, scene: join(root, 'missing.ply') })).rejects.toThrow(/missing\.ply/)
  })
})

it('the evaluation grades held-out objects beside the baselines, and says whether the text chooses', async () => {
  await evaluate({ model: 'grasp', out, overrides: ['flow.sample_steps=1'] })
  const result = JSON.parse(readFileSync(join(metrics, 'evaluation.json'), 'utf8'))
  expect(result.objects).toHaveLength(SHIPPED.filter(({ split, grasps }) => split === 'held-out' && grasps > 0).length)
  for (const object of [result, ...result.objects])
    for (const name of ['holds', 'random', 'wrong_scene', 'coverage']) {
      expect(object[name]).toBeGreaterThanOrEqual(0)
      expect(object[name]).toBeLessThanOrEqual(1)
    }
  expect(result.random).toBeLessThan(0.1)
  expect(result.text.tables).toBeGreaterThan(10)
})
