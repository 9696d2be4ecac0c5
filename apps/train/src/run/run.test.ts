import {
  appendFileSync,
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
import { CheckpointError } from '@ditkit/checkpoint'
import { afterAll, describe, expect, it } from 'vitest'
import { loadConfig } from '../config/load'
import { diskError, writeFolderAtomically } from './atomic-folder'
import { checkSameConfig, RunFolder } from './folder'
import { MetricsFile, readMetrics } from './metrics'

const root = mkdtempSync(join(tmpdir(), 'ditkit-run-'))
afterAll(() => rmSync(root, { recursive: true }))

let folders = 0
const folder = () => join(root, String(folders++))

describe('training_metrics.csv', () => {
  const row = (step: number) => ({ step, epoch: 0, loss: 1 / step, learning_rate: 1e-3, grad_norm: 0.5 })
  function write(steps: number): string {
    const path = join(folder(), 'training_metrics.csv')
    const file = MetricsFile.open(path, 0)
    for (let step = 1; step <= steps; step++) file.append(step % 2 ? row(step) : { ...row(step), val_loss: 2 })
    file.close()
    return path
  }

  it('begins with step, epoch, loss and learning_rate, and reads back exactly', () => {
    const path = write(3)
    expect(readFileSync(path, 'utf8')).toMatch(/^step,epoch,loss,learning_rate/)
    expect(readMetrics(path)).toEqual([row(1), { ...row(2), val_loss: 2 }, row(3)])
  })

  it('is cut back to the step it resumes after, and continues there', () => {
    const path = write(7)
    const file = MetricsFile.open(path, 4)
    expect(file.rows.map(r => r.step)).toEqual([1, 2, 3, 4])
    file.append(row(5))
    file.close()
    expect(readMetrics(path).map(r => r.step)).toEqual([1, 2, 3, 4, 5])
  })

  it('loses only the line that was being written when the writer was killed', () => {
    const path = write(4)
    appendFileSync(path, '5,0,0.2,0.0')
    expect(readMetrics(path).map(r => r.step)).toEqual([1, 2, 3, 4])
    MetricsFile.open(path, 4).close()
    expect(readFileSync(path, 'utf8').endsWith('\n')).toBe(true)
  })

  it('says so when rows before the checkpoint are gone, or damaged', () => {
    expect(() => MetricsFile.open(write(3), 4)).toThrow('holds 3 rows up to step 4')
    expect(() => MetricsFile.open(join(folder(), 'none.csv'), 4)).toThrow('is missing')
    const path = write(3)
    writeFileSync(path, readFileSync(path, 'utf8').replace('2,0,', 'x,'))
    expect(() => MetricsFile.open(path, 3)).toThrow('line 3 is damaged')
  })
})

describe('a folder written atomically', () => {
  it('is not there when filling it fails, and nothing is left beside it', async () => {
    const parent = folder()
    const failing = writeFolderAtomically(join(parent, 'step-1'), async path => {
      writeFileSync(join(path, 'half'), 'half')
      throw new Error('stop')
    })
    await expect(failing).rejects.toThrow('stop')
    expect(readdirSync(parent)).toEqual([])
  })

  it('replaces one of the same name only once it is whole', async () => {
    const path = join(folder(), 'step-1')
    await writeFolderAtomically(path, async at => writeFileSync(join(at, 'old'), ''))
    await writeFolderAtomically(path, async at => {
      expect(readdirSync(path)).toEqual(['old'])
      writeFileSync(join(at, 'new'), '')
    })
    expect(readdirSync(path)).toEqual(['new'])
    expect(readdirSync(join(path, '..'))).toEqual(['step-1'])
  })
})

it('a full disk is named as such, through the errors of other packages too', () => {
  const full = Object.assign(new Error('write'), { code: 'ENOSPC' })
  expect(String(diskError(full, '/x/y'))).toMatch(/no space left to write \/x\/y .*--resume/)
  expect(String(diskError(new CheckpointError('cannot write', { cause: full }), '/x/y'))).toMatch('no space left')
  const other = new TypeError('a bug')
  expect(diskError(other, '/x/y')).toBe(other)
})

describe('a run’s folder', () => {
  function occupied(run = 'digits'): string {
    const path = folder()
    mkdirSync(join(path, 'output', 'dit_metrics'), { recursive: true })
    writeFileSync(join(path, 'output', 'dit_metrics', 'summary.json'), JSON.stringify({ run }))
    return path
  }

  it('is refused when another run’s output is there, and left as it is', () => {
    const path = occupied()
    expect(() => new RunFolder(path, 'blobs').check('new')).toThrow(
      /dit_metrics holds the output of another run.*--resume.*--overwrite.*--out/,
    )
    expect(existsSync(join(path, 'output', 'dit_metrics', 'summary.json'))).toBe(true)
  })

  it('is not resumed under another name', () => {
    expect(() => new RunFolder(occupied('digits'), 'blobs').check('resume')).toThrow(
      'belongs to the run digits, not blobs',
    )
    expect(() => new RunFolder(occupied('digits'), 'digits').check('resume')).not.toThrow()
  })

  it('is not begun anew by --resume when its run was finished and its checkpoints are gone', () => {
    const path = occupied('digits')
    writeFileSync(
      join(path, 'output', 'dit_metrics', 'summary.json'),
      JSON.stringify({ run: 'digits', status: 'finished' }),
    )
    expect(() => new RunFolder(path, 'digits').check('resume')).toThrow('nothing to resume')
    mkdirSync(join(path, 'checkpoints', 'digits'), { recursive: true })
    expect(() => new RunFolder(path, 'digits').check('resume')).not.toThrow()
  })

  it('is tidied of what a killed process left half written, and of nothing else', () => {
    const run = new RunFolder(folder(), 'digits')
    const [half, models] = [join(run.checkpoints, '.step-000002.tmp'), join(run.model, '..')]
    for (const path of [half, join(run.checkpoints, 'step-000001'), run.metricsFolder, models])
      mkdirSync(path, { recursive: true })
    for (const name of ['.digits.safetensors.12.ab.tmp', '.blobs.safetensors.12.ab.tmp', 'digits.safetensors'])
      writeFileSync(join(models, name), '')
    writeFileSync(run.metrics('.summary.json.12.ab.tmp'), '')
    run.tidy()
    expect(readdirSync(run.checkpoints)).toEqual(['step-000001'])
    expect(readdirSync(run.metricsFolder)).toEqual([])
    expect(readdirSync(models)).toEqual(['.blobs.safetensors.12.ab.tmp', 'digits.safetensors'])
  })

  it('is free when empty or new', () => {
    for (const mode of ['new', 'resume', 'overwrite'] as const)
      expect(() => new RunFolder(folder(), 'digits').check(mode)).not.toThrow()
  })

  it.each(['../up', 'a/b', '', '.hidden'])('does not take %j for a run name', name => {
    expect(() => new RunFolder(folder(), name)).toThrow('not usable as a folder name')
  })
})

describe('settings of a resumed run', () => {
  const settings = (...overrides: string[]) => loadConfig('digits', overrides).config

  it('that change the weights must be the same; each that differs is named', () => {
    expect(() => checkSameConfig(settings(), settings('train.steps=99', 'seed=3'))).toThrow(
      /seed was 0, now 3\n {2}train.steps was 1500, now 99/,
    )
  })

  it('may differ where they only change what is written, and where it runs', () => {
    expect(() =>
      checkSameConfig(settings(), settings('train.checkpoint_every=7', 'threads=1', 'sample.count=10')),
    ).not.toThrow()
  })
})
