import { preset } from '@ditkit/presets/tsup'

export default preset({ entry: { index: 'src/index.ts' }, platform: 'neutral' })
