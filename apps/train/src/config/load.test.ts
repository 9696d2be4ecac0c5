import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { builtInRecipes, checkConfig, loadConfig, writeConfig } from './load'
import { FREE_ON_RESUME, knownKeys } from './schema'

const folder = mkdtempSync(join(tmpdir(), 'ditkit-config-'))
afterAll(() => rmSync(folder, { recursive: true }))

function recipe(text: string): string {
  const path = join(folder, 'mine.yaml')
  writeFileSync(path, text)
  return path
}

describe('recipes', () => {
  it.each(builtInRecipes())('%s is valid and survives being written and read', name => {
    const { config } = loadConfig(name, [])
    expect(checkConfig(parse(writeConfig(config)), 'again')).toEqual(config)
  })

  it('blobs is the reference project’s default', () => {
    const { config } = loadConfig('blobs', [])
    expect(config.data).toMatchObject({ kind: 'blobs', size: 16 })
    expect(config.model).toMatchObject({ patch: 4, hidden: 128, layers: 4, heads: 4 })
    expect(config.diffusion).toMatchObject({ schedule: 'linear', steps: 100, target: 'epsilon' })
    expect(config.train).toMatchObject({ steps: 3000, batch: 64, learning_rate: 1e-3 })
  })

  it('an unknown recipe names the nearest one', () => {
    expect(() => loadConfig('digit', [])).toThrow('did you mean digits?')
  })

  it('a recipe file is named after the file', () => {
    expect(loadConfig(recipe('data: { kind: blobs }'), []).name).toBe('mine')
  })
})

describe('overrides', () => {
  it('set nested keys, with YAML values', () => {
    const { config } = loadConfig('digits', [
      'train.learning_rate=3e-4',
      'freeze=[blocks.0.*, x_embedder.*]',
      'objective=ddpm',
    ])
    expect(config.train.learning_rate).toBe(3e-4)
    expect(config.freeze).toEqual(['blocks.0.*', 'x_embedder.*'])
    expect(config.objective).toBe('ddpm')
    expect(config.train.batch).toBe(128)
  })

  it.each([
    ['train.learning_rat=1', 'unknown key train.learning_rat: did you mean train.learning_rate?'],
    ['learning_rate=1', 'unknown key learning_rate: did you mean train.learning_rate?'],
    ['trian.steps=1', 'unknown key trian: did you mean train'],
    ['objective.kind=ddpm', 'objective is {"kind":"ddpm"}'],
    ['__proto__.steps=1', 'unknown key __proto__'],
    ['train.steps', 'expected key=value'],
    ['train.steps=many', 'train.steps is "many": expected number'],
    ['train.steps=0', 'train.steps is 0'],
    ['objective=flwo', 'objective is "flwo" (expected "flow", "ddpm", "set-prediction")'],
    ['model.heads=5', '5 heads do not divide'],
    ['train.accumulate=3', 'train.batch'],
    ['data.kind=cifar', 'data.kind'],
    ['flow.coupling=ot', 'flow.coupling is "ot" (expected "none", "exact", "sinkhorn")'],
    ['sample.guidance_interval=[0.8, 0.2]', 'ends before it begins'],
    ['sample.guidance_rescale=2', 'sample.guidance_rescale is 2'],
    ['sample.corrector_snr=0', 'sample.corrector_snr is 0'],
  ])('%s is refused', (override, message) => {
    expect(() => loadConfig('digits', [override])).toThrow(message)
  })
})

describe('recipe files', () => {
  it.each([
    ['', 'holds no keys'],
    ['data: [', 'is not valid YAML'],
    ['data: { kind: images }', 'data.folder is missing'],
    [
      'data: { kind: images, folder: x, skip_brokn: true }',
      'unknown key data.skip_brokn: did you mean data.skip_broken?',
    ],
  ])('%j is refused', (text, message) => {
    expect(() => loadConfig(recipe(text), [])).toThrow(message)
  })
})

it('every key that may change on resume exists', () => {
  expect(knownKeys()).toEqual(expect.arrayContaining([...FREE_ON_RESUME]))
})
