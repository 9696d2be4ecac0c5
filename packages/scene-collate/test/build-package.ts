// The package as JavaScript, built from the sources into a folder of its own: a worker thread cannot read TypeScript.

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'tsup'

/** The folder, with index.mjs, node.mjs and worker.mjs. The caller removes it. */
export async function buildPackage(): Promise<string> {
  const outDir = mkdtempSync(join(tmpdir(), 'scene-collate-'))
  const source = (path: string) => fileURLToPath(new URL(`../src/${path}`, import.meta.url))
  await build({
    config: false,
    silent: true,
    entry: { index: source('index.ts'), node: source('node.ts'), worker: source('node/worker.ts') },
    format: 'esm',
    platform: 'node',
    outDir,
    noExternal: [/^@ditkit\//],
    outExtension: () => ({ js: '.mjs' }),
    esbuildOptions: options => {
      options.conditions = ['ditkit-source']
    },
  })
  return outDir
}
