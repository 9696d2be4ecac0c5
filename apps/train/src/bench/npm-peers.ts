// Peers that are npm packages. They are no dependencies of ditkit: they are taken from the current folder's node_modules, or
// from a cache that `--install-peers` fills.

import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { cacheFolder } from '../cache-folder'
import { UserError } from '../errors'
import { peerFolder } from '../package-files'
import type { PeerCommand } from './peer-process'

export type NpmPeer = 'tfjs' | 'jax-js' | 'onnxruntime'

const NPM_PEERS: Record<NpmPeer, { readonly script: string; readonly packages: Readonly<Record<string, string>> }> = {
  tfjs: {
    script: 'tfjs_peer.mjs',
    packages: { '@tensorflow/tfjs': '4.22.0', '@tensorflow/tfjs-backend-wasm': '4.22.0' },
  },
  'jax-js': { script: 'jax_peer.mjs', packages: { '@jax-js/jax': '0.1.25' } },
  onnxruntime: { script: 'onnxruntime_peer.mjs', packages: { 'onnxruntime-node': '1.30.0', protobufjs: '7.6.6' } },
}

export function isNpmPeer(name: string): name is NpmPeer {
  return name in NPM_PEERS
}

/** How to start the peer. Throws a UserError with the command to run where its packages are not there. */
export function npmPeerCommand(name: NpmPeer, threads: number): PeerCommand {
  const folder = folderOf(name)
  const wayOut = `install it with: ditkit bench --peer ${name} --install-peers`
  if (!folder) throw new UserError(`${name} is not installed here nor in ${cacheOf(name)}; ${wayOut}`)
  return {
    label: name,
    command: process.execPath,
    args: [join(peerFolder, NPM_PEERS[name].script), folder, String(threads)],
    env: process.env,
    wayOut: `check the installation in ${folder}`,
  }
}

/** Installs pinned versions into the cache where the peer is not there yet, without running their install scripts. */
export function installPeer(name: NpmPeer): void {
  if (folderOf(name)) return
  const folder = cacheOf(name)
  const packages = Object.entries(NPM_PEERS[name].packages).map(([pkg, version]) => `${pkg}@${version}`)
  mkdirSync(folder, { recursive: true })
  const args = [
    'install',
    '--prefix',
    folder,
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    ...packages,
  ]
  console.log(`Installing ${packages.join(', ')} into ${folder}`)
  const { status, error } = spawnSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'], cwd: folder })
  if (status !== 0) throw new UserError(`npm ${args.join(' ')} failed${error ? `: ${error.message}` : ''}`)
}

/** The folder whose node_modules hold all of the peer's packages. */
function folderOf(name: NpmPeer): string | undefined {
  const packages = Object.keys(NPM_PEERS[name].packages)
  return [process.cwd(), cacheOf(name)].find(folder => packages.every(pkg => resolvable(folder, pkg)))
}

function cacheOf(name: NpmPeer): string {
  return cacheFolder('peers', name)
}

function resolvable(folder: string, pkg: string): boolean {
  try {
    createRequire(join(folder, 'package.json')).resolve(pkg)
    return true
  } catch {
    return false
  }
}
