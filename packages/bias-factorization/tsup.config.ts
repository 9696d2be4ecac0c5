import { preset } from '@ditkit/presets/tsup'

export default preset({ entry: { index: 'src/index.ts', neural: 'src/neural.ts' }, platform: 'neutral' })
