// A process, or a worker, ends cleanly whatever its devices are doing.

import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { addonPath } from '../src/native'

const run = promisify(execFile)
const script = path.join(__dirname, 'lifecycle-child.mjs')

/** What the child printed. Rejects when it does not end by itself, or ends with a signal or another exit code. */
async function child(name: string): Promise<string> {
  const { stdout } = await run(process.execPath, ['--expose-gc', script, addonPath, name], { timeout: 240_000 })
  return stdout.trim()
}

test('an idle device does not keep the process alive', async () => {
  expect(await child('idle')).toBe('')
})

test('a process ends with work queued', async () => {
  expect(await child('queued')).toBe('')
})

test('process.exit() ends a process with work queued', async () => {
  expect(await child('exit')).toBe('')
})

test('an uncaught error ends a process with work queued', async () => {
  await expect(child('throw')).rejects.toThrow(/an uncaught error/)
})

test('a read under way keeps the process alive until it is delivered', async () => {
  expect(await child('read')).toBe('read 7 gave 99')
})

test('a disposed device leaves nothing that keeps the process alive', async () => {
  expect(await child('disposed')).toBe('')
})

test('devices that nobody holds are collected', async () => {
  expect(await child('collected')).toBe('their threads ended')
})

test('several devices work side by side', async () => {
  expect(await child('several')).toBe('all four')
})

test('a device works in a worker thread, which then ends by itself', async () => {
  expect(await child('worker')).toBe('read 7 gave 99\nthe worker ended')
})

test('a worker can be terminated while its device computes', async () => {
  expect(await child('terminated')).toBe('the worker was terminated')
})

test('workers that come and go do not disturb the device of the main thread', async () => {
  expect(await child('ended')).toBe('still works')
})
