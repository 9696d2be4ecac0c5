// `npm test [-- pattern ...]`: sets everything up and runs every check; the patterns choose vitest files.
import { requireNode } from './node-version.mjs'

requireNode()
import('./test-run.mjs').then(test => test.main(process.argv.slice(2)))
