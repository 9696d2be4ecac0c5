// Runs the built `ditkit` command line after the set-up.
import { join } from 'node:path'
import { inRepository, makeReady, root } from './ready.mjs'
import { printFailure, runVisibly } from './step.mjs'

/** @param {string[]} args */
export async function main(args) {
  try {
    await makeReady({ quiet: true })
    process.exitCode = await ditkit(args)
  } catch (error) {
    printFailure(error)
    process.exitCode = 1
  }
}

/** Resolves to the exit code. @param {string[]} args */
export function ditkit(args) {
  return runVisibly(process.execPath, [join(root, 'apps', 'train', 'dist', 'cli.js'), ...args], inRepository())
}
