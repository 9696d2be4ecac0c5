// Decides whether work has to be done again: a stamp records a digest of the files it was made from, and what it
// made; it holds while the inputs have the same content and the outputs are still there.
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const SKIPPED = new Set([
  'node_modules',
  'dist',
  'build',
  '.turbo',
  '.cache',
  '.git',
  'output',
  'checkpoints',
  'models',
])

/**
 * All files under `folder`, sorted, as absolute paths; folders that hold results or dependencies are left out.
 * @param {string} folder
 * @param {Set<string>} skipped
 * @returns {string[]}
 */
export function filesUnder(folder, skipped = SKIPPED) {
  /** @type {string[]} */
  const files = []
  let entries
  try {
    entries = readdirSync(folder, { withFileTypes: true })
  } catch {
    return files
  }
  for (const entry of entries) {
    const path = join(folder, entry.name)
    if (entry.isDirectory() && !skipped.has(entry.name)) files.push(...filesUnder(path, skipped))
    else if (entry.isFile()) files.push(path)
  }
  return files.sort()
}

/**
 * A digest of the files' names and contents and of `facts` (versions, platform).
 * @param {string} root
 * @param {string[]} files
 * @param {string[]} facts
 */
export function digest(root, files, facts) {
  const hash = createHash('sha256').update(JSON.stringify(facts))
  for (const file of files) {
    const content = readFileSync(file)
    hash.update(`\0${relative(root, file)}\0${content.length}\0`).update(content)
  }
  return hash.digest('hex')
}

/** @param {string} stamp path of the stamp @param {string} root @param {string} inputs a digest */
export function holds(stamp, root, inputs) {
  try {
    const recorded = JSON.parse(readFileSync(stamp, 'utf8'))
    if (recorded.inputs !== inputs) return false
    return Object.entries(recorded.outputs).every(([path, size]) => statSync(join(root, path)).size === size)
  } catch {
    return false
  }
}

/** @param {string} stamp @param {string} root @param {string} inputs @param {string[]} outputs absolute paths */
export function record(stamp, root, inputs, outputs) {
  const sizes = Object.fromEntries(outputs.map(path => [relative(root, path), statSync(path).size]))
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, JSON.stringify({ inputs, outputs: sizes }, null, 1))
}
