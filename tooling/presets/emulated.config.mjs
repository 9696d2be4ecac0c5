// Vitest with its tests on another Node.js than its own, that DITKIT_TEST_NODE names: on an emulated processor. Files are read and
// translated here, and one emulated process runs them all.
import { preset } from './vitest.mjs'

if (!process.env.DITKIT_TEST_NODE) throw new Error('set DITKIT_TEST_NODE to the program that runs the tests')
process.execPath = process.env.DITKIT_TEST_NODE

export default preset({
  include: ['tooling/conformance/test/*.test.ts'],
  maxWorkers: 1,
  isolate: false,
  testTimeout: 600_000,
  hookTimeout: 600_000,
})
