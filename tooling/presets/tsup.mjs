// One tsup configuration for every package: ESM for Node 20 and browsers, one file per entry point.
// Declarations come from tsup too, but only for publishing (DITKIT_TYPES=1): inside the repository
// TypeScript reads the sources through the `ditkit-source` export condition.
import { defineConfig } from 'tsup'

/** @param {{ entry: Record<string, string>, platform?: 'node' | 'neutral', external?: string[] }} options */
export function preset({ entry, platform = 'neutral', external = [] }) {
  return defineConfig({
    entry,
    platform,
    external,
    format: ['esm'],
    target: 'es2022',
    sourcemap: true,
    // A native addon beside the JavaScript is built by its own script and stays.
    clean: ['!**/*.node'],
    dts: process.env.DITKIT_TYPES === '1',
  })
}
