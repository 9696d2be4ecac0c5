// What happens to a run that is killed, interrupted, or out of disk: nothing is lost, and it continues bit for bit.

import { existsSync, mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ditkit, results, startDitkit, TINY, untilOutput, untilRows } from './tiny-run'

const root = mkdtempSync(join(tmpdir(), 'ditkit-interruptions-'))
afterAll(() => rmSync(root, { recursive: true }))

const arguments_ = (out: string, ...more: string[]) => ['train', 'blobs', '--out', out, ...TINY, ...more]

let expected: Record<string, Buffer>
beforeAll(async () => {
  const out = join(root, 'uninterrupted')
  expect(await ditkit(...arguments_(out))).toMatchObject({ code: 0 })
  expected = results(out)
})

function expectSame(out: string) {
  const found = results(out)
  for (const [file, bytes] of Object.entries(expected)) {
    // The summary names its own folder, and the memory that was used.
    if (!file.endsWith('summary.json')) expect(found[file].equals(bytes), file).toBe(true)
  }
}

it('a run killed at any moment continues to the same weights, metrics and samples, bit for bit', async () => {
  const out = join(root, 'killed')
  let resumed = 0
  for (const rows of [
    Math.floor(Math.random() * 7),
    10 + Math.floor(Math.random() * 10),
    25 + Math.floor(Math.random() * 30),
  ]) {
    const running = startDitkit(arguments_(out, '--resume'))
    await untilRows(out, rows, running)
    running.child.kill('SIGKILL')
    const { signal, output } = await running.end
    expect(signal).toBe('SIGKILL')
    if (output.includes('Resuming blobs from step')) resumed++
  }
  expect(resumed).toBeGreaterThan(0)
  expect(await ditkit(...arguments_(out, '--resume'))).toMatchObject({ code: 0 })
  expectSame(out)
})

it('Ctrl-C saves, exits cleanly and says how to go on; the rest of the run is the same', async () => {
  const out = join(root, 'interrupted')
  const running = startDitkit(arguments_(out))
  await untilRows(out, 10, running)
  running.child.kill('SIGINT')
  const { code, output } = await running.end
  expect(code).toBe(130)
  const saved = output.match(/Saved (.*step-\d+)\. Go on with the same command and --resume/)?.[1]
  expect(saved && existsSync(join(saved, 'state.json'))).toBe(true)
  // On another number of threads, which changes no result.
  expect(await ditkit(...arguments_(out, '--resume', 'threads=1'))).toMatchObject({
    code: 0,
    output: expect.stringContaining('Resuming'),
  })
  expectSame(out)
})

it('Ctrl-C while the samples are drawn leaves the weights, and says how to draw again', async () => {
  const out = join(root, 'drawing')
  const settings = ['train.steps=3', 'sample.count=2000', 'sample.batch=1']
  const running = startDitkit(arguments_(out, ...settings))
  await untilOutput('Training 3/3', running)
  running.child.kill('SIGINT')
  const { code, output } = await running.end
  expect(output).toContain('Stopped while drawing; the weights are saved.')
  expect(code).toBe(130)
  expect(existsSync(join(out, 'models', 'blobs.safetensors'))).toBe(true)
})

it('closing the output early does not end the run', async () => {
  const out = join(root, 'unread')
  const running = startDitkit(arguments_(out, 'train.steps=20'))
  running.child.stdout?.destroy()
  expect(await running.end).toMatchObject({ code: 0, output: '' })
  expect(existsSync(join(out, 'models', 'blobs.safetensors'))).toBe(true)
})

it('a full disk stops the run with a clear error and without half-written files; it then resumes', async () => {
  const out = join(root, 'full')
  const { code, output } = await startDitkit(arguments_(out), { limitKilobytes: 40 }).end
  expect(code).toBe(1)
  expect(output).toMatch(/no space left to write .*step-000007/)
  expect(readdirSync(join(out, 'checkpoints', 'blobs'))).toEqual([])
  expect(await ditkit(...arguments_(out, '--resume'))).toMatchObject({ code: 0 })
  expectSame(out)
})

it('a checkpoint cut short is refused by name', async () => {
  const out = join(root, 'cut')
  await ditkit(...arguments_(out, 'train.steps=14'))
  truncateSync(join(out, 'checkpoints', 'blobs', 'step-000014', 'ema.safetensors'), 100)
  const { code, output } = await ditkit(...arguments_(out, 'train.steps=14', '--resume'))
  expect(code).toBe(1)
  expect(output).toMatch(
    /checkpoint .*step-000014 is damaged: ema\.safetensors has 100 bytes, expected \d+; delete its folder/,
  )
})
