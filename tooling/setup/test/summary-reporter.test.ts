// What the summary reporter counts: every test once, files that do not load and stray errors as failures.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { TestModule } from 'vitest/node'
import SummaryReporter from '../../presets/summary-reporter.mjs'

const test = (fullName: string, state: string, note?: string) => ({ fullName, result: () => ({ state, note }) })
const module = (relativeModuleId: string, errors: string[], ...tests: unknown[]) =>
  ({
    relativeModuleId,
    errors: () => errors.map(message => new Error(message)),
    children: { allTests: () => tests },
  }) as unknown as TestModule

it('sums up passes, failures and skips with their reasons', () => {
  const folder = mkdtempSync(join(tmpdir(), 'summary-'))
  const file = join(folder, 'new', 'summary.json')
  const good = module(
    'a.test.ts',
    [],
    test('works', 'passed'),
    test('gpu', 'skipped', 'no GPU'),
    test('sums', 'failed'),
  )
  const broken = module('b.test.ts', ['cannot load'])
  new SummaryReporter({ file }).onTestRunEnd([good, broken], [new Error('stray')])
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
    passed: 1,
    failed: ['a.test.ts > sums', 'b.test.ts: cannot load', 'unhandled error: stray'],
    skipped: [{ name: 'a.test.ts > gpu', reason: 'no GPU' }],
  })
  rmSync(folder, { recursive: true })
})
