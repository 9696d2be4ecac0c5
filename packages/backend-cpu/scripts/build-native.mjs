// Builds the native addon with the C++ compiler alone: no cmake, make, Python or node-gyp. Objects are reused while
// their sources, flags and compiler are unchanged.
//   node scripts/build-native.mjs [--target linux-arm64]
// CXX=clang++ chooses the compiler, DITKIT_BUILD_JOBS the parallel jobs. Another machine's addon is built by the cross compiler of that
// name (aarch64-linux-gnu-g++ for linux-arm64).
import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const sources = path.join(root, 'native')
const host = `${process.platform}-${process.arch}`
const CROSS_COMPILERS = { 'linux-arm64': 'aarch64-linux-gnu-g++', 'linux-x64': 'x86_64-linux-gnu-g++' }
const headers = path.join(path.dirname(createRequire(import.meta.url).resolve('node-api-headers')), 'include')

// GCC 12 takes the undefined registers inside its own AVX-512 intrinsics for mistakes.
const QUIET = ['-Wno-maybe-uninitialized', '-Wno-uninitialized', '-Wno-unknown-warning-option']
const COMMON = [
  '-std=c++17',
  '-O3',
  '-fPIC',
  '-pthread',
  '-fvisibility=hidden',
  '-DNAPI_VERSION=9',
  '-Wall',
  '-Wextra',
  ...QUIET,
]
// Contraction is allowed where the source multiplies and adds: which kernel a machine runs is fixed by its instruction
// set, and so are its results. Nothing else of -ffast-math.
const MATH = ['-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast']
// But distances between points are compared, and all sets are to choose the same points.
const UNFUSED = ['-ffp-contract=off']
const AVX2 = ['-mavx2', '-mfma', '-mf16c', '-mbmi', '-mbmi2', '-mlzcnt']
const AVX512 = [...AVX2, '-mavx512f', '-mavx512dq', '-mavx512bw', '-mavx512vl', '-mprefer-vector-width=512']
const ISA_FLAGS = {
  x64: {
    baseline: [],
    avx2: AVX2,
    avx512: AVX512,
    avx512bf16: [...AVX512, '-mavx512bf16'],
    amx: [...AVX512, '-mavx512bf16', '-mamx-tile', '-mamx-bf16'],
  },
  arm64: { neon: [] },
}
const ISAS = ['baseline', 'avx2', 'avx512', 'avx512bf16', 'amx', 'neon']
// Sets that older compilers do not know: where the compiler refuses the flags, their kernels are left out.
const YOUNG_ISAS = ['avx512bf16', 'amx']

/** The .cc files under `native` that an architecture and its compiler can build, tests left out. */
function findSources(isas, folder = sources) {
  return readdirSync(folder, { withFileTypes: true }).flatMap(entry => {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) return entry.name === 'test' ? [] : findSources(isas, file)
    if (!entry.name.endsWith('.cc')) return []
    const isa = isaOf(file)
    return isa === undefined || isas.includes(isa) ? [file] : []
  })
}

/** The instruction sets of an architecture whose flags the compiler takes. */
function knownIsas(compiler, arch) {
  const flags = ISA_FLAGS[arch]
  return Object.keys(flags).filter(isa => {
    if (!YOUNG_ISAS.includes(isa)) return true
    const probe = spawnSync(compiler.command, [...flags[isa], '-x', 'c++', '-fsyntax-only', '-'], { input: '' })
    return probe.status === 0
  })
}

function isaOf(file) {
  const suffix = path.basename(file).split('.').at(-2)
  return ISAS.includes(suffix) ? suffix : undefined
}

/** The files that `file` includes with quotes, itself first; found in the text, so that no dependency files are needed. */
function includes(file, seen = new Set()) {
  if (seen.has(file) || !existsSync(file)) return seen
  seen.add(file)
  for (const [, name] of readFileSync(file, 'utf8').matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)) {
    includes(path.resolve(path.dirname(file), name), seen)
    includes(path.resolve(sources, name), seen)
  }
  return seen
}

/** The compiler for `target`. Throws an Error that says what to install. */
export function findCompiler(target = host) {
  if (target !== host) return findCrossCompiler(target)
  const candidates = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++']
  for (const command of candidates) {
    const answer = spawnSync(command, ['--version'], { encoding: 'utf8' })
    if (answer.status === 0) return { command, version: answer.stdout.split('\n')[0] }
  }
  throw new Error(
    `no C++ compiler found (tried ${candidates.join(', ')}). Install one: Debian/Ubuntu 'apt install g++', ` +
      `Fedora 'dnf install gcc-c++', Alpine 'apk add g++', macOS 'xcode-select --install'; or set CXX`,
  )
}

function findCrossCompiler(target) {
  const command = CROSS_COMPILERS[target]
  if (!command)
    throw new Error(`no cross compiler is known for ${target} (there are ${Object.keys(CROSS_COMPILERS).join(', ')})`)
  const answer = spawnSync(command, ['--version'], { encoding: 'utf8' })
  if (answer.status === 0) return { command, version: answer.stdout.split('\n')[0] }
  throw new Error(
    `${command} is not here. Install it: Debian/Ubuntu 'apt install ${command.replace(/^(.*)-g\+\+$/, 'g++-$1')}'`,
  )
}

/** Where the object files of `target` are. */
export const objectsOf = target => path.join(root, '.cache', 'native', target)

function hash(...parts) {
  const digest = createHash('sha256')
  for (const part of parts) digest.update(part).update('\0')
  return digest.digest('hex').slice(0, 20)
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    execFile(command, args, { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (stdout || stderr) process.stderr.write(stdout + stderr)
      if (error) reject(new Error(`${path.basename(args.at(-1))}: the compiler failed`))
      else resolve()
    })
  })
}

async function inParallel(jobs, count) {
  const waiting = [...jobs]
  const worker = async () => {
    for (let job = waiting.shift(); job; job = waiting.shift()) await job()
  }
  await Promise.all(Array.from({ length: count }, worker))
}

/** Compiles what changed and links. Resolves with what was done; throws an Error that says what to install. */
export async function buildNative({ quiet = false, target = host } = {}) {
  const [platform, arch] = target.split('-')
  if (platform === 'win32') throw new Error('the native addon does not build on Windows yet; use WSL')
  if (!ISA_FLAGS[arch]) throw new Error(`no kernels for processor architecture '${arch}' (x64 and arm64 have them)`)
  const started = performance.now()
  const compiler = findCompiler(target)
  const objects = objectsOf(target)
  const addon = path.join(root, 'dist', 'native', `ditkit_cpu-${target}.node`)
  mkdirSync(objects, { recursive: true })
  mkdirSync(path.dirname(addon), { recursive: true })
  const contents = new Map()
  const read = file => contents.get(file) ?? contents.set(file, readFileSync(file)).get(file)
  const isas = knownIsas(compiler, arch)
  const young = YOUNG_ISAS.filter(isa => isas.includes(isa)).map(isa => `-DDITKIT_${isa.toUpperCase()}`)
  const units = findSources(isas).map(source => {
    const flags = [
      ...COMMON,
      ...MATH,
      ...(path.dirname(source) === path.join(sources, 'points') ? UNFUSED : []),
      ...young,
      ...(ISA_FLAGS[arch][isaOf(source)] ?? []),
      `-I${headers}`,
      `-I${sources}`,
    ]
    const parts = [...includes(source)].sort().flatMap(file => [path.relative(root, file), read(file)])
    const key = hash(compiler.command, compiler.version, JSON.stringify(flags), ...parts)
    const object = path.join(objects, `${path.relative(sources, source).replaceAll(path.sep, '__')}.${key}.o`)
    return { source, flags, object, size: read(source).length }
  })
  const stale = units.filter(unit => !existsSync(unit.object))
  const linkKey = hash(compiler.version, ...units.map(unit => path.basename(unit.object)).sort())
  const stamp = path.join(objects, 'linked')
  if (stale.length === 0 && existsSync(addon) && existsSync(stamp) && readFileSync(stamp, 'utf8') === linkKey) {
    return { addon, compiled: 0, seconds: (performance.now() - started) / 1000 }
  }
  if (!quiet) console.log(`backend-cpu: compiling ${stale.length} of ${units.length} files with ${compiler.version}`)
  // Kernels take longest, so they start first.
  stale.sort((a, b) => Number(isaOf(b.source) !== undefined) - Number(isaOf(a.source) !== undefined))
  const jobs = Number(process.env.DITKIT_BUILD_JOBS) || Math.max(1, Math.min(8, os.availableParallelism()))
  await inParallel(
    stale.map(({ source, flags, object }) => async () => {
      const unfinished = `${object}.${process.pid}`
      await run(compiler.command, [...flags, '-o', unfinished, '-c', source])
      renameSync(unfinished, object)
    }),
    jobs,
  )
  const shared = platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared']
  const unfinished = `${addon}.${process.pid}`
  await run(compiler.command, [...shared, '-pthread', '-o', unfinished, ...units.map(unit => unit.object)])
  renameSync(unfinished, addon)
  const current = new Set(units.map(unit => path.basename(unit.object)))
  for (const name of readdirSync(objects)) {
    if (name.endsWith('.o') && !current.has(name)) rmSync(path.join(objects, name))
  }
  writeFileSync(stamp, linkKey)
  const built = { compiler: compiler.version, target, napi: 9 }
  // It describes the addon that this machine loads.
  if (target === host)
    writeFileSync(path.join(path.dirname(addon), 'build.json'), `${JSON.stringify(built, null, 2)}\n`)
  return { addon, compiled: stale.length, seconds: (performance.now() - started) / 1000 }
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const { values } = parseArgs({ options: { target: { type: 'string', default: host } } })
    const { addon, compiled, seconds } = await buildNative(values)
    const what = compiled ? `built ${path.relative(root, addon)}` : `${path.relative(root, addon)} is up to date`
    console.log(`backend-cpu: ${what} (${seconds.toFixed(1)} s)`)
  } catch (error) {
    console.error(`backend-cpu: ${error.message}`)
    process.exitCode = 1
  }
}
