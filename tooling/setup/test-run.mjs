// All that `npm test` runs: one check after another, each to its end, with the failures listed last.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { checkArm64Kernels, checkX64Baseline, noArm64, noX64Emulator, prepareArm64Node } from './emulated.mjs'
import { inRepository, makeReady, root } from './ready.mjs'
import { duration, printFailure, runQuietly, runVisibly, step } from './step.mjs'

/**
 * Vitest's tests count one by one, every other check as one.
 * @typedef {import('../presets/summary-reporter.mjs').Summary} Summary
 */

/** @param {string[]} patterns which vitest files to run; all when empty */
export async function main(patterns) {
  const started = performance.now()
  /** @type {Summary} */
  const total = { passed: 0, failed: [], skipped: [] }
  /** @param {string} title @param {() => Promise<string | void>} work */
  const check = async (title, work) => {
    try {
      await step(title, work)
      total.passed++
    } catch (error) {
      printFailure(error)
      total.failed.push(title)
    }
  }

  console.log('Setting up')
  try {
    await makeReady()
    total.passed++
  } catch (error) {
    printFailure(error)
    total.failed.push('Set-up')
  }
  // Without the set-up every other check would fail for the same reason.
  if (total.failed.length === 0) {
    console.log('\nChecks')
    await check('Formatting and lint (biome)', () =>
      node('node_modules/@biomejs/biome/bin/biome', 'check', '--max-diagnostics=none', '.'),
    )
    await check('Types of every package (tsc)', typecheck)
    await check('Who imports whom', () => node('tooling/checks/import-directions.mjs'))
    await check('Code in the READMEs', () => node('tooling/checks/readme-snippets.mjs'))
    await check('Packages as published (publint, attw, a consumer)', () => node('tooling/checks/packed-packages.mjs'))
    await nativeTests(check)
    console.log('\nTests')
    add(total, await vitest(patterns))
    if (patterns.length === 0) await otherProcessors(total, check)
  }

  for (const { name, reason } of total.skipped) console.log(`skipped: ${name} [${reason ?? 'no reason given'}]`)
  for (const name of total.failed) console.log(`FAILED: ${name}`)
  console.log(`\nTook ${duration(started)}`)
  console.log(`${total.passed} passed, ${total.failed.length} failed, ${total.skipped.length} skipped`)
  process.exitCode = total.failed.length === 0 ? 0 : 1
}

/** @param {string[]} args */
async function node(...args) {
  const output = await runQuietly(process.execPath, args, inRepository())
  // A check may end with a line on how much it looked at.
  const last = output.trimEnd().split('\n').at(-1) ?? ''
  return last.startsWith('checked ') ? last : undefined
}

async function typecheck() {
  const flags = ['--concurrency=2', '--ui=stream', '--output-logs=errors-only', '--continue=always']
  await node('node_modules/turbo/bin/turbo', 'run', 'typecheck', ...flags)
}

/** @param {(title: string, work: () => Promise<string | void>) => Promise<void>} check */
async function nativeTests(check) {
  const script = 'packages/backend-cpu/scripts/test-native.mjs'
  if (existsSync(join(root, script))) await check('Native kernels (C++)', () => node(script))
}

/**
 * @param {Summary} total
 * @param {(title: string, work: () => Promise<string | void>) => Promise<void>} check
 */
async function otherProcessors(total, check) {
  console.log('\nOther processors (emulated)')
  const [x64, arm64] = [noX64Emulator(), noArm64()]
  if (x64) total.skipped.push({ name: 'Native kernels on x64 without AVX', reason: x64 })
  else await check('Native kernels on x64 without AVX', checkX64Baseline)
  if (arm64) total.skipped.push({ name: 'ARM64: native kernels and conformance', reason: arm64 })
  else {
    const failed = total.failed.length
    await check('Native kernels on ARM64', checkArm64Kernels)
    let node = ''
    await check('Node.js for ARM64', async () => {
      node = await prepareArm64Node()
    })
    if (total.failed.length > failed) return
    const config = ['--config', 'tooling/presets/emulated.config.mjs', '--root', root]
    const summary = await vitest(config, { DITKIT_TEST_NODE: node, DITKIT_TEST_DEVICES: 'cpu' })
    console.log(`  Conformance on ARM64: ${summary.passed} passed, ${summary.failed.length} failed`)
    add(total, { ...summary, failed: summary.failed.map(name => `ARM64: ${name}`) })
  }
}

/** @param {string[]} patterns @param {Record<string, string>} environment @returns {Promise<Summary>} */
async function vitest(patterns, environment = {}) {
  const file = join(root, '.cache', 'test', `vitest-${process.pid}.json`)
  mkdirSync(join(root, '.cache', 'test'), { recursive: true })
  const reporters = ['--reporter=dot', '--reporter=./tooling/presets/summary-reporter.mjs']
  const options = inRepository()
  Object.assign(options.env, environment, { DITKIT_TEST_SUMMARY: file })
  const code = await runVisibly(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', ...reporters, ...patterns],
    options,
  )
  if (!existsSync(file))
    return { passed: 0, failed: [`vitest exited with ${code} before it could report`], skipped: [] }
  /** @type {Summary} */
  const summary = JSON.parse(readFileSync(file, 'utf8'))
  rmSync(file)
  if (code !== 0 && summary.failed.length === 0) summary.failed.push(`vitest exited with ${code}`)
  return summary
}

/** @param {Summary} total @param {Summary} more */
function add(total, more) {
  total.passed += more.passed
  total.failed.push(...more.failed)
  total.skipped.push(...more.skipped)
}
