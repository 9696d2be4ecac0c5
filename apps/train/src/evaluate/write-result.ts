// What an evaluation found, as evaluation.json among the metrics of its run.

import { mkdirSync } from 'node:fs'
import { writeFileAtomic } from '@ditkit/checkpoint/node'
import { diskError } from '../run/atomic-folder'
import { RunFolder } from '../run/folder'

export async function writeResult(out: string, result: { readonly run: string }): Promise<void> {
  const run = new RunFolder(out, result.run)
  const file = run.metrics('evaluation.json')
  try {
    mkdirSync(run.metricsFolder, { recursive: true })
    await writeFileAtomic(file, `${JSON.stringify(result, null, 2)}\n`)
  } catch (error) {
    throw diskError(error, file)
  }
  console.log(`Written to ${file}`)
}
