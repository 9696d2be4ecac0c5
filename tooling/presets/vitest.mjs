// Vitest as every package uses it: sources through the `ditkit-source` condition, or the built `dist`
// with DITKIT_TEST_DIST=1 (the same tests against what is published).
import { defineConfig } from 'vitest/config'

const conditions = process.env.DITKIT_TEST_DIST === '1' ? [] : ['ditkit-source']

/** @param {import('vitest/config').ViteUserConfig['test']} test */
export function preset(test = {}) {
  return defineConfig({
    resolve: { conditions: [...conditions, 'node', 'import', 'default'] },
    ssr: { resolve: { conditions: [...conditions, 'node', 'import', 'default'] } },
    test: {
      pool: 'forks',
      maxWorkers: 2,
      testTimeout: 60_000,
      hookTimeout: 120_000,
      server: { deps: { inline: [/@ditkit\//] } },
      ...test,
    },
  })
}
