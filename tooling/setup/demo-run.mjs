// The demo itself: `ditkit train digits` and `ditkit eval digits` after the set-up.
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ditkit } from './ditkit-run.mjs'
import { makeReady, root } from './ready.mjs'
import { duration, printFailure } from './step.mjs'

const PICTURES = ['generated_samples.png', 'target_samples.png', 'training_curves.png']

/**
 * @param {string[]} args recipe overrides (`steps=500`) for both commands; flags (`--out DIR`) likewise
 */
export async function main(args) {
  const started = performance.now()
  const out = outFolder(args)
  try {
    console.log('Setting up')
    await makeReady()
    console.log('\nTraining on handwritten digits')
    await mustRun(['train', 'digits', '--overwrite', ...args])
    console.log('\nEvaluating what it draws')
    await mustRun(['eval', 'digits', ...args])
  } catch (error) {
    printFailure(error)
    process.exitCode = 1
    return
  }
  const pictures = PICTURES.map(name => join(out, 'output', 'dit_metrics', name)).filter(path => existsSync(path))
  if (pictures.length === 0) {
    console.error(`\nThe training ended without an error but left no picture in ${join(out, 'output', 'dit_metrics')}`)
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

/** @param {string[]} args */
function outFolder(args) {
  const at = args.findIndex(arg => arg === '--out' || arg.startsWith('--out='))
  if (at < 0) return root
  return resolve(root, args[at].includes('=') ? args[at].slice('--out='.length) : (args[at + 1] ?? '.'))
}
