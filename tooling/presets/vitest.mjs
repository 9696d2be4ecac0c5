// Vitest as every package uses it: sources through the `ditkit-source` condition, or the built `dist`
// with DITKIT_TEST_DIST=1 (the same tests against what is published).
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { defineConfig } from 'vitest/config'

const testsDist = process.env.DITKIT_TEST_DIST === '1'
const conditions = [...(testsDist ? [] : ['ditkit-source']), 'node', 'import', 'default']

/** @param {import('vitest/config').ViteUserConfig['test']} test */
export function preset(test = {}) {
  return defineConfig({
    plugins: testsDist ? [ownEntriesFromDist] : [],
    resolve: { conditions },
    ssr: { resolve: { conditions } },
    test: {
      pool: 'forks',
      maxWorkers: 2,
      // Against tests that hang, not slow ones: a busy machine with two cores takes ten times as long as an idle one.
      testTimeout: 300_000,
      hookTimeout: 300_000,
      server: { deps: { inline: [/@ditkit\//] } },
      ...test,
    },
  })
}

/**
 * A test that imports its own package's entry by path (`./index`, `../src/node`) gets the built one. Tests of a
 * package's inner files have no counterpart in `dist` and read the sources in both modes.
 * @type {import('vite').Plugin}
 */
const ownEntriesFromDist = {
  name: 'ditkit-own-entries-from-dist',
  enforce: 'pre',
  async resolveId(source, importer) {
    if (!source.startsWith('.') || !importer || !/\.test\.ts$/.test(importer)) return undefined
    const resolved = await this.resolve(source, importer, { skipSelf: true })
    if (!resolved) return undefined
    const folder = packageFolder(dirname(importer))
    const { exports = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    for (const entry of Object.values(exports))
      if (entry['ditkit-source'] && join(folder, entry['ditkit-source']) === resolved.id)
        return join(folder, entry.default)
    return undefined
  },
}

/** @param {string} folder @returns {string} the nearest folder above with a package.json */
function packageFolder(folder) {
  return existsSync(join(folder, 'package.json')) ? folder : packageFolder(dirname(folder))
}
