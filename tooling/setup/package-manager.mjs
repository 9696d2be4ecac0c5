// Provides the pnpm that package.json names, without touching what is installed on the machine: npm fetches it from
// the registry that the user's npm is configured for, and it must match the recorded sha512.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, delimiter, join } from 'node:path'
import { runQuietly } from './step.mjs'

/**
 * @param {string} root of the repository
 * @returns {{ version: string, sha512: string }} from the `packageManager` field
 */
export function wantedPnpm(root) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const match = /^pnpm@(\d+\.\d+\.\d+)\+sha512\.([0-9a-f]{128})$/.exec(packageManager)
  if (!match) throw new Error(`package.json: packageManager is '${packageManager}', expected pnpm@X.Y.Z+sha512.HEX`)
  return { version: match[1], sha512: match[2] }
}

/** The folder that holds the repository's own pnpm. @param {string} root */
export const pnpmFolder = root => join(root, '.cache', 'pnpm')

/** Where pnpm's program is. @param {string} root */
export const pnpmProgram = root => join(pnpmFolder(root), 'node_modules', 'pnpm', 'bin', 'pnpm.cjs')

/** Whether the wanted version is in place. @param {string} root */
export function hasPnpm(root) {
  try {
    const manifest = join(pnpmFolder(root), 'node_modules', 'pnpm', 'package.json')
    return (
      existsSync(pnpmProgram(root)) && JSON.parse(readFileSync(manifest, 'utf8')).version === wantedPnpm(root).version
    )
  } catch {
    return false
  }
}

/** Fetches pnpm with npm, checks its digest and unpacks it. @param {string} root */
export async function fetchPnpm(root) {
  const { version, sha512 } = wantedPnpm(root)
  const folder = pnpmFolder(root)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  // npm runs in a folder of its own, so that the repository's .npmrc and package.json play no part.
  const options = { cwd: folder, env: childEnvironment(root) }
  await npm(['pack', `pnpm@${version}`, '--pack-destination', '.'], options)
  const tarball = readdirSync(folder).find(name => name.endsWith('.tgz'))
  if (!tarball) throw new Error(`npm pack pnpm@${version} left no archive in ${folder}`)
  const got = createHash('sha512')
    .update(readFileSync(join(folder, tarball)))
    .digest('hex')
  if (got !== sha512) {
    rmSync(folder, { recursive: true, force: true })
    throw new Error(
      `pnpm@${version} from your npm registry has sha512 ${got.slice(0, 16)}…, but package.json records ` +
        `${sha512.slice(0, 16)}…. It was deleted. Check the registry: npm config get registry`,
    )
  }
  await npm(['install', '--prefix', '.', '--no-save', '--no-audit', '--no-fund', '--offline', `./${tarball}`], options)
  rmSync(join(folder, tarball))
}

/**
 * The environment of every child: the local pnpm first on the path, and nothing that would ask, phone home or leave
 * out the development dependencies.
 * @param {string} root
 * @returns {NodeJS.ProcessEnv}
 */
export function childEnvironment(root) {
  const { NODE_ENV, ...env } = process.env
  const pathName = Object.keys(env).find(name => name.toUpperCase() === 'PATH') ?? 'PATH'
  const bins = [join(pnpmFolder(root), 'node_modules', '.bin'), join(root, 'node_modules', '.bin')]
  return {
    ...env,
    [pathName]: [...bins, env[pathName]].filter(Boolean).join(delimiter),
    TURBO_TELEMETRY_DISABLED: '1',
    TURBO_NO_UPDATE_NOTIFIER: '1',
    DO_NOT_TRACK: '1',
  }
}

/** @param {string[]} args @param {{ cwd: string, env: NodeJS.ProcessEnv }} options */
function npm(args, options) {
  const script = process.env.npm_execpath
  if (script && basename(script) === 'npm-cli.js') return runQuietly(process.execPath, [script, ...args], options)
  return runQuietly('npm', args, options)
}
