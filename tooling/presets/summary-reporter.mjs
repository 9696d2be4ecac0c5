// A vitest reporter that writes what `npm test` sums up: how many tests passed, failed and were skipped, and why.
// (Vitest's own JSON reporter leaves out the reason given to `ctx.skip`.)
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** @typedef {{ passed: number, failed: string[], skipped: { name: string, reason?: string }[] }} Summary */

export default class SummaryReporter {
  /** @param {{ file?: string }} options where to write; DITKIT_TEST_SUMMARY unless given */
  constructor({ file = process.env.DITKIT_TEST_SUMMARY } = {}) {
    if (!file) throw new Error('summary reporter: set DITKIT_TEST_SUMMARY to the file to write')
    this.file = file
  }

  /**
   * @param {readonly import('vitest/node').TestModule[]} modules
   * @param {readonly unknown[]} unhandledErrors
   */
  onTestRunEnd(modules, unhandledErrors) {
    /** @type {Summary} */
    const summary = { passed: 0, failed: [], skipped: [] }
    for (const module of modules) {
      // A file that cannot be loaded has no tests to report; it fails as one.
      for (const error of module.errors()) summary.failed.push(`${module.relativeModuleId}: ${error.message}`)
      for (const test of module.children.allTests()) {
        const name = `${module.relativeModuleId} > ${test.fullName}`
        const result = test.result()
        if (result.state === 'passed') summary.passed++
        else if (result.state === 'skipped') summary.skipped.push({ name, reason: result.note })
        else summary.failed.push(name)
      }
    }
    for (const error of unhandledErrors) summary.failed.push(`unhandled error: ${/** @type {Error} */ (error).message}`)
    mkdirSync(dirname(this.file), { recursive: true })
    writeFileSync(this.file, JSON.stringify(summary))
  }
}
