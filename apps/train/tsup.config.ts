import { preset } from '@ditkit/presets/tsup'

export default preset({ entry: { cli: 'src/cli.ts' }, platform: 'node' })
