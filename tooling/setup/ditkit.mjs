// `pnpm ditkit ...`: the command line as it is in this clone, built first where its sources have changed.
import { requireNode } from './node-version.mjs'

requireNode()
import('./ditkit-run.mjs').then(ditkit => ditkit.main(process.argv.slice(2)))
