// Brings a clone to the state in which everything runs: pnpm, dependencies, built JavaScript, the native addon. Each
// part is skipped when a stamp shows that it is up to date.
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findCompiler } from './compiler.mjs'
import { withLock } from './lock.mjs'
import { childEnvironment, fetchPnpm, hasPnpm, pnpmProgram, wantedPnpm } from './package-manager.mjs'
import { digest, filesUnder, holds, record } from './stamp.mjs'
import { runQuietly, step } from './step.mjs'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** Options for child processes that run in the repository. */
export const inRepository = () => ({ cwd: root, env: childEnvironment(root) })

/**
 * Does what is missing of the set-up; two that are started at once take turns.
 * @param {{ quiet?: boolean }} options quiet says nothing when there is nothing to do
 */
export async function makeReady({ quiet = false } = {}) {
  const cache = join(root, '.cache')
  mkdirSync(cache, { recursive: true })
  await withLock(join(cache, 'setup.lock'), () => setUp(quiet), {
    onWait: owner => console.log(`  Another set-up of this clone is running (${owner}); waiting for it.`),
  })
}

/** @param {boolean} quiet */
async function setUp(quiet) {
  const install = { stamp: join(root, '.cache', 'installed.json'), inputs: installInputs() }
  const build = { stamp: join(root, '.cache', 'built.json'), inputs: buildInputs() }
  const installed = hasPnpm(root) && holds(install.stamp, root, install.inputs)
  if (installed && holds(build.stamp, root, build.inputs)) {
    if (!quiet) console.log('  Set-up is up to date.')
    return
  }
  await step('Looking for a C++ compiler', () => findCompiler().version)
  if (!hasPnpm(root)) await step(`Fetching pnpm ${wantedPnpm(root).version} with npm`, () => fetchPnpm(root))
  if (!installed) {
    await step('Installing packages', installPackages)
    record(install.stamp, root, install.inputs, [join(root, 'node_modules', '.modules.yaml')])
  }
  await step('Building JavaScript', buildJavaScript)
  const native = join(root, 'packages', 'backend-cpu', 'scripts', 'build-native.mjs')
  await step('Building the native CPU kernels', () =>
    runQuietly(process.execPath, [native], inRepository()).then(() => {}),
  )
  record(build.stamp, root, build.inputs, builtFiles())
}

async function installPackages() {
  const args = [
    pnpmProgram(root),
    'install',
    '--frozen-lockfile',
    '--prefer-offline',
    '--config.confirmModulesPurge=false',
  ]
  await runQuietly(process.execPath, args, inRepository())
}

async function buildJavaScript() {
  const turbo = join(root, 'node_modules', 'turbo', 'bin', 'turbo')
  const args = [turbo, 'run', 'build', '--concurrency=2', '--ui=stream', '--output-logs=errors-only']
  await runQuietly(process.execPath, args, inRepository())
}

/** Every folder of the workspace that holds a package. */
export function packageFolders() {
  return ['packages', 'apps', 'tooling']
    .flatMap(group => readdirSync(join(root, group)).map(name => join(root, group, name)))
    .filter(folder => existsSync(join(folder, 'package.json')))
}

function installInputs() {
  const files = ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', '.npmrc'].map(name => join(root, name))
  const manifests = packageFolders().map(folder => join(folder, 'package.json'))
  return digest(root, [...files, ...manifests], platform())
}

function buildInputs() {
  const sources = packageFolders().flatMap(folder => [
    ...['src', 'native', 'scripts'].flatMap(name => filesUnder(join(folder, name))),
    ...['package.json', 'tsup.config.ts', 'tsconfig.json'].map(name => join(folder, name)).filter(existsSync),
  ])
  const shared = [...filesUnder(join(root, 'tooling', 'presets')), join(root, 'pnpm-lock.yaml')]
  const tests = /\.test\.ts$/
  return digest(
    root,
    [...sources, ...shared].filter(file => !tests.test(file)),
    [...platform(), process.env.CXX ?? ''],
  )
}

const platform = () => [process.platform, process.arch]

function builtFiles() {
  const results = new Set(['node_modules', '.turbo'])
  return packageFolders()
    .filter(folder => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).scripts?.build)
    .flatMap(folder => ['dist', 'build', 'prebuilds'].flatMap(name => filesUnder(join(folder, name), results)))
    .filter(file => /\.(js|node)$/.test(file))
}
