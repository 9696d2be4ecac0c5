// Checks the packages as they would be published: builds them with declarations, packs them, lints each archive
// (publint, are-the-types-wrong), then type-checks and imports them all from a project that has only the archives.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import ts from 'typescript'
import { withLock } from '../setup/lock.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const work = join(root, '.cache', 'packed')
/** @type {string[]} */
const problems = []

/** @typedef {{ folder: string, manifest: any, archive: string }} Packed */

/** @param {string} program @param {string[]} args @param {NodeJS.ProcessEnv} env */
function run(program, args, cwd = root, env = process.env) {
  const result = spawnSync(program, args, { cwd, env, encoding: 'utf8' })
  return { ok: result.status === 0, output: `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ?? ''}` }
}

/** @param {string} tool path under node_modules @param {string[]} args */
const node = (tool, args, env = process.env) =>
  run(process.execPath, [join(root, 'node_modules', tool), ...args], root, env)

function buildWithTypes() {
  const args = ['run', 'build', '--concurrency=2', '--ui=stream', '--output-logs=errors-only']
  const result = node('turbo/bin/turbo', args, { ...process.env, DITKIT_TYPES: '1' })
  if (!result.ok) throw new Error(`the build with declarations failed\n${result.output}`)
}

/** @returns {Packed[]} */
function packAll() {
  const packed = []
  for (const group of ['packages', 'apps']) {
    for (const name of readdirSync(join(root, group))) {
      const folder = join(root, group, name)
      const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
      if (manifest.private) continue
      const archive = join(work, `${manifest.name.replace('@', '').replace('/', '-')}.tgz`)
      const result = run('pnpm', ['pack', '--out', archive], folder)
      if (!result.ok) throw new Error(`pnpm pack of ${manifest.name} failed\n${result.output}`)
      const unpacked = join(work, 'node_modules', manifest.name)
      mkdirSync(unpacked, { recursive: true })
      unpack(archive, unpacked)
      packed.push({ folder, manifest: JSON.parse(readFileSync(join(unpacked, 'package.json'), 'utf8')), archive })
    }
  }
  return packed
}

/** @param {string} archive @param {string} folder */
function unpack(archive, folder) {
  // Unzipped here, because tar would need a gzip program.
  const input = gunzipSync(readFileSync(archive))
  const tar = spawnSync('tar', ['-xf', '-', '--strip-components=1', '-C', folder], { input })
  if (tar.status !== 0) throw new Error(`unpacking ${archive} failed: ${tar.error ?? tar.stderr}`)
}

/** @param {Packed} packed */
async function lintArchive({ manifest, archive }) {
  const tarball = readFileSync(archive)
  const { messages } = await publint({ pack: { tarball: new Uint8Array(tarball).buffer }, strict: true })
  for (const message of messages)
    problems.push(`${manifest.name}: publint: ${formatMessage(message, manifest, { color: false })}`)
  if (JSON.stringify(manifest.exports ?? {}).includes('ditkit-source'))
    problems.push(`${manifest.name}: the archive still exports its sources; add publishConfig.exports`)
  if (JSON.stringify(manifest).includes('workspace:'))
    problems.push(`${manifest.name}: the archive names a workspace: range`)
  if (!manifest.exports) return
  const types = node('@arethetypeswrong/cli/dist/index.js', [
    archive,
    '--profile=esm-only',
    '--no-definitely-typed',
    '--no-color',
  ])
  if (!types.ok) problems.push(`${manifest.name}: are-the-types-wrong:\n${types.output}`)
}

/** Gives the consumer the third-party packages that the archives depend on. */
/** @param {Packed} packed */
function linkDependencies({ folder, manifest }) {
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })) {
    const link = join(work, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    try {
      symlinkSync(join(folder, 'node_modules', name), link, 'dir')
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error
    }
  }
}

/** @param {any} manifest @returns {string[]} what a consumer can import */
const entriesOf = manifest =>
  Object.keys(manifest.exports ?? {})
    .filter(entry => !entry.endsWith('.json'))
    .map(entry => manifest.name + entry.slice(1))

/** @param {string[]} entries @param {ts.ModuleResolutionKind} moduleResolution */
function typeCheckConsumer(entries, moduleResolution) {
  const nodeNext = moduleResolution === ts.ModuleResolutionKind.NodeNext
  const file = join(work, 'consumer.ts')
  writeFileSync(file, entries.map((entry, i) => `export * as package${i} from '${entry}'\n`).join(''))
  const program = ts.createProgram([file], {
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2022.d.ts', 'lib.esnext.disposable.d.ts', 'lib.dom.d.ts'],
    module: nodeNext ? ts.ModuleKind.NodeNext : ts.ModuleKind.ESNext,
    moduleResolution,
    strict: true,
    noEmit: true,
    types: ['node'],
    typeRoots: [join(root, 'node_modules', '@types')],
  })
  const ours = join(work, 'node_modules', '@ditkit')
  for (const diagnostic of ts.getPreEmitDiagnostics(program)) {
    const at = diagnostic.file?.fileName ?? file
    if (at !== file && !at.startsWith(ours)) continue
    const line = diagnostic.file?.getLineAndCharacterOfPosition(diagnostic.start ?? 0).line ?? 0
    const text = ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n')
    problems.push(`consumer (${nodeNext ? 'NodeNext' : 'Bundler'}): ${at}:${line + 1}: ${text}`)
  }
}

/** @param {string[]} entries */
function importAll(entries) {
  const code = `for (const entry of ${JSON.stringify(entries)}) await import(entry)`
  const result = run(process.execPath, ['--input-type=module', '-e', code], work)
  if (!result.ok) problems.push(`consumer: importing the packages failed\n${result.output}`)
}

async function main() {
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true })
  writeFileSync(join(work, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  buildWithTypes()
  const packed = packAll()
  for (const each of packed) await lintArchive(each)
  const libraries = packed.filter(({ manifest }) => manifest.exports)
  libraries.forEach(linkDependencies)
  const entries = libraries.flatMap(({ manifest }) => entriesOf(manifest))
  typeCheckConsumer(entries, ts.ModuleResolutionKind.NodeNext)
  typeCheckConsumer(entries, ts.ModuleResolutionKind.Bundler)
  importAll(entries)
  return `checked ${packed.length} packages, ${entries.length} entries`
}

mkdirSync(dirname(work), { recursive: true })
try {
  const done = await withLock(`${work}.lock`, main)
  for (const problem of problems) console.error(problem)
  if (problems.length) process.exitCode = 1
  else console.log(done)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
