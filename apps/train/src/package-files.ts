// Files that ship beside the code. This module stays at depth one of src/, so that the same relative URL holds in the
// bundled dist/cli.js.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const recipeFolder = fileURLToPath(new URL('../recipes/', import.meta.url))
export const objectFolder = fileURLToPath(new URL('../objects/', import.meta.url))
export const peerFolder = fileURLToPath(new URL('../peers/', import.meta.url))

export function packageVersion(): string {
  return JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version
}
