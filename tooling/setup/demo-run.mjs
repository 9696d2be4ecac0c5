// The demo itself: `ditkit train digits` and `ditkit eval digits` after the set-up.
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ditkit } from './ditkit-run.mjs'
import { makeReady, root } from './ready.mjs'
import { duration, printFailure } from './step.mjs'

const PICTURES = ['generated_samples.png', 'target_samples.png', 'training_curves.png']

/**
 * @param {string[]} args for `ditkit train`: settings (`train.steps=200`) and flags (`--out DIR`, `--name RUN`, `--resume`)
 */
export async function main(args) {
  const started = performance.now()
  const out = valueOf('--out', args) ?? '.'
  const run = valueOf('--name', args) ?? 'digits'
  const metrics = join(resolve(root, out), 'output', 'dit_metrics')
  try {
    console.log('Setting up')
    await makeReady()
    console.log('\nTraining on handwritten digits')
    await mustRun(['train', 'digits', ...(args.includes('--resume') ? [] : ['--overwrite']), ...args])
    console.log('\nEvaluating what it draws')
    // The settings are in the model's file.
    await mustRun(['eval', run, '--out', out])
  } catch (error) {
    printFailure(error)
    process.exitCode = 1
    return
  }
  const pictures = PICTURES.map(name => join(metrics, name)).filter(path => existsSync(path))
  if (pictures.length === 0) {
    console.error(`\nThe training ended without an error but left no picture in ${metrics}`)
    process.exitCode = 1
    return
  }
  console.log(`\nDone in ${duration(started)}. The pictures:`)
  for (const path of pictures) console.log(`  ${path}`)
}

/** @param {string[]} args */
async function mustRun(args) {
  const code = await ditkit(args)
  if (code !== 0) throw new Error(`ditkit ${args.join(' ')} exited with ${code}`)
}

/** @param {string} flag @param {string[]} args @returns {string | undefined} */
function valueOf(flag, args) {
  const at = args.findIndex(arg => arg === flag || arg.startsWith(`${flag}=`))
  if (at < 0) return undefined
  return args[at].includes('=') ? args[at].slice(flag.length + 1) : args[at + 1]
}
