// `npm run demo [-- key=value ...]`: sets everything up, trains the digits model, evaluates it, and says where the
// pictures are.
import { requireNode } from './node-version.mjs'

requireNode()
import('./demo-run.mjs').then(demo => demo.main(process.argv.slice(2)))
