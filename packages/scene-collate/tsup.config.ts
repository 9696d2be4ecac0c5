import { preset } from '@ditkit/presets/tsup'

export default preset({
  entry: { index: 'src/index.ts', node: 'src/node.ts', worker: 'src/node/worker.ts' },
  platform: 'neutral',
})
