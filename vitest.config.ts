import { preset } from '@ditkit/presets/vitest'

export default preset({
  include: ['{packages,apps,tooling}/*/{src,test}/**/*.test.ts'],
})
