import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { embedTexts, TEXT_TOKENS, TEXT_WIDTH } from './embed'

const folders: string[] = []
let cache: string
beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'ditkit-text-'))
  folders.push(folder)
  vi.stubEnv('XDG_CACHE_HOME', folder)
  cache = join(folder, 'ditkit', 'text')
})
afterAll(() => {
  vi.unstubAllEnvs()
  for (const folder of folders) rmSync(folder, { recursive: true })
})

const rowsOf = (values: Float32Array) =>
  Array.from({ length: values.length / TEXT_WIDTH }, (_, i) => values.subarray(i * TEXT_WIDTH, (i + 1) * TEXT_WIDTH))
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i], 0)

describe('embedTexts', () => {
  it('puts "a mug" nearer to "a cup" than to "a chair"', async () => {
    const [mug, cup, chair] = rowsOf(await embedTexts(['a mug', 'a cup', 'a chair']))
    expect(dot(mug, cup)).toBeGreaterThan(dot(mug, chair) + 0.1)
    for (const row of [mug, cup, chair]) expect(dot(row, row)).toBeCloseTo(1, 5)
  })

  it('gives each text its own row bit for bit, whatever stands beside it, from the cache too', async () => {
    const alone = await embedTexts(['a red chair'])
    vi.stubEnv('XDG_CACHE_HOME', folders[0])
    const among = rowsOf(await embedTexts(['a lamp', 'a  red chair ', 'a lamp']))
    expect(among[1]).toEqual(alone)
    expect(among[0]).toEqual(among[2])
    expect(rowsOf(await embedTexts(['a lamp', 'a red chair', 'a lamp']))).toEqual(among)
  })

  it('reads what it kept, unless that is not whole', async () => {
    const first = await embedTexts(['a bowl'])
    const [file] = readdirSync(cache)
    const marked = new Float32Array(TEXT_WIDTH).fill(0.25)
    writeFileSync(join(cache, file), new Uint8Array(marked.buffer))
    expect(await embedTexts(['a bowl'])).toEqual(marked)
    writeFileSync(join(cache, file), new Uint8Array(100))
    expect(await embedTexts(['a bowl'])).toEqual(first)
    expect(readdirSync(cache)).toEqual([file])
  })

  it('goes on without a cache that cannot be written, and says so once', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    writeFileSync(join(cache, '..', '..', 'blocked'), '')
    vi.stubEnv('XDG_CACHE_HOME', join(cache, '..', '..', 'blocked'))
    expect((await embedTexts(['a bowl', 'a spoon'])).length).toBe(2 * TEXT_WIDTH)
    expect(warn).toHaveBeenCalledOnce()
    warn.mockRestore()
  })

  it('refuses text that is empty, too long, or in no script that the model knows', async () => {
    await expect(embedTexts(['a mug', ' \n'])).rejects.toThrow('text 1 is empty')
    const words = (count: number) => Array(count).fill('dog').join(' ')
    await expect(embedTexts([words(TEXT_TOKENS + 1)])).rejects.toThrow(
      /text 0 \("dog dog .*…"\) has 129 word pieces, of which the model reads 128/,
    )
    expect((await embedTexts([words(TEXT_TOKENS)])).length).toBe(TEXT_WIDTH)
    await expect(embedTexts(['杯子'])).rejects.toThrow(/"杯子"\) holds nothing that the model knows: it reads English/)
  })

  it('of no texts is empty', async () => {
    expect(await embedTexts([])).toEqual(new Float32Array())
  })
})
