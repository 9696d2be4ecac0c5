// One tsup configuration for every package: ESM for Node 20 and browsers, one file per entry point.
// Declarations come from tsup too, but only for publishing (DITKIT_TYPES=1): inside the repository
// TypeScript reads the sources through the `ditkit-source` export condition.
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig } from 'tsup'

/** @param {{ entry: Record<string, string>, platform?: 'node' | 'neutral', external?: string[] }} options */
export function preset({ entry, platform = 'neutral', external = [] }) {
  const started = Date.now()
  return defineConfig({
    entry,
    platform,
    external: [...external, /^node:/],
    format: ['esm'],
    target: 'es2022',
    sourcemap: true,
    // 'node:fs' stays 'node:fs': the prefix says at a glance what does not run in a browser.
    removeNodeProtocol: false,
    dts: process.env.DITKIT_TYPES === '1',
    // Files are replaced in place and leftovers removed afterwards, so that a running program always finds its modules.
    clean: false,
    onSuccess: async () => removeOlder('dist', started),
  })
}

/**
 * Removes the JavaScript and declarations that an earlier build left; what other scripts build here stays.
 * @param {string} folder
 * @param {number} time in milliseconds
 */
function removeOlder(folder, time) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) removeOlder(path, time)
    else if (/\.(js|map|d\.ts)$/.test(entry.name) && statSync(path).mtimeMs < time) rmSync(path)
  }
}
