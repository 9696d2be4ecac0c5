// Builds each `native/test/*_test.cc` against the addon's own object files and runs it; these tests need no Node.
//   node scripts/test-native.mjs [name ...] [--target linux-arm64] [--run 'qemu-aarch64 -L /usr/aarch64-linux-gnu']
// CXX=clang++ chooses the compiler; --run is what goes before the program, for another processor; --every 7 takes one in seven of the
// random cases, for an emulator.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildNative, findCompiler, objectsOf } from './build-native.mjs'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const tests = path.join(root, 'native', 'test')
const { values, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    target: { type: 'string', default: `${process.platform}-${process.arch}` },
    run: { type: 'string', default: '' },
    every: { type: 'string', default: '1' },
  },
})
const objects = objectsOf(values.target)
const before = values.run.split(' ').filter(Boolean)

/** Runs a program; on failure prints what it wrote. Returns whether it ended well. */
function succeeds(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8' })
  if (result.status === 0) return true
  console.error(`${path.basename(command)} ${result.error ?? `ended with ${result.status ?? result.signal}`}`)
  console.error(`${result.stdout ?? ''}${result.stderr ?? ''}`)
  return false
}

await buildNative({ quiet: true, target: values.target })
const compiler = findCompiler(values.target).command
const programs = mkdtempSync(path.join(tmpdir(), 'ditkit-native-test-'))
// The addon's entry needs symbols that only Node has; everything else links by itself.
const linked = readdirSync(objects).filter(name => name.endsWith('.o') && !name.startsWith('addon__'))
const names = readdirSync(tests)
  .filter(name => name.endsWith('_test.cc'))
  .map(name => name.slice(0, -'_test.cc'.length))
  .filter(name => wanted.length === 0 || wanted.includes(name))

const failed = names.filter(name => {
  const program = path.join(programs, name)
  const flags = ['-std=c++17', '-O2', '-pthread', `-I${path.join(root, 'native')}`, '-o', program]
  const sources = [path.join(tests, `${name}_test.cc`), ...linked.map(object => path.join(objects, object))]
  const [first, ...rest] = [...before, program, values.every]
  return !(succeeds(compiler, [...flags, ...sources]) && succeeds(first, rest))
})
rmSync(programs, { recursive: true })
if (failed.length || names.length === 0) {
  console.error(failed.length ? `failed: ${failed.join(', ')}` : `no test of that name in ${tests}`)
  process.exitCode = 1
} else console.log(`checked ${names.join(', ')}`)
