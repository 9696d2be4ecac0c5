// No JavaScript input may crash the process: garbage is given to the raw addon, in processes of their own.

import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { addonPath } from '../src/native'

const run = promisify(execFile)
const script = path.join(__dirname, 'fuzz-child.mjs')

test.each([1, 2, 3])('the addon survives garbage (seed %i)', async seed => {
  const { stdout } = await run(process.execPath, [script, addonPath, String(seed), '20000'])
  const counts = JSON.parse(stdout)
  // Both kinds of calls happened, and queued ones were completed.
  expect(counts.accepted).toBeGreaterThan(4000)
  expect(counts.refused).toBeGreaterThan(4000)
  expect(counts.completed).toBeGreaterThan(100)
})
