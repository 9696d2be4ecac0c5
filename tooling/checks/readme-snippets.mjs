// Type-checks every ```ts block of the READMEs against the workspace, and runs those marked as runnable against the
// built packages. What follows `ts` on the fence says more: `ts continued` goes on from the block before it, `ts run`
// is also executed (with the blocks it continues), `ts no-check` is a sketch that is left alone.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('../..', import.meta.url))
const RUN_LIMIT_MS = 120_000

/** @typedef {{ readme: string, line: number, code: string, run: boolean }} Program `line` is that of its first fence */

/**
 * The programs of a README. Code keeps its line numbers (blank lines stand for the prose), so that errors point into it.
 * @param {string} readme path
 * @param {string} text
 * @returns {Program[]}
 */
export function programsOf(readme, text) {
  /** @type {Program[]} */
  const programs = []
  /** @type {Program | undefined} */
  let open
  for (const [index, line] of text.split('\n').entries()) {
    const fence = /^```(.*)$/.exec(line)
    if (fence && open) open = undefined
    else if (fence) open = begin(fence[1].trim().split(/\s+/), index + 1)
    else if (open) open.code += `${'\n'.repeat(index - open.code.split('\n').length + 1)}${line}`
  }
  return programs

  /** @param {string[]} words @param {number} line @returns {Program} */
  function begin([language, ...marks], line) {
    const unknown = marks.find(mark => !['continued', 'run', 'no-check'].includes(mark))
    if (language !== 'ts' || marks.includes('no-check')) return { readme, line, code: '', run: false }
    if (unknown) throw new Error(`${readme}:${line}: '${unknown}' is none of: continued, run, no-check`)
    let program = marks.includes('continued') ? programs.at(-1) : undefined
    if (marks.includes('continued') && !program) throw new Error(`${readme}:${line}: nothing to continue from`)
    if (!program) {
      program = { readme, line, code: '', run: false }
      programs.push(program)
    }
    program.run ||= marks.includes('run')
    return program
  }
}

/**
 * @param {Program[]} programs
 * @param {string} folder to write them to; its node_modules decides what they can import
 * @returns {string[]} problems, each at its line of the README
 */
export function typeCheck(programs, folder) {
  const base = ts.readConfigFile(join(root, 'tooling', 'presets', 'tsconfig.base.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(base.config, ts.sys, folder)
  // A README's block may end before it uses what it makes.
  Object.assign(options, {
    noUnusedLocals: false,
    noUnusedParameters: false,
    noEmit: true,
    typeRoots: [join(root, 'node_modules', '@types')],
  })
  const byFile = new Map(programs.map((program, i) => [join(folder, `readme-${i}.ts`), program]))
  // `export {}` makes each a module with a scope of its own, where `await` may stand at the top.
  for (const [file, { code }] of byFile) writeFileSync(file, `${code}\nexport {}\n`)
  const checked = ts.createProgram([...byFile.keys()], options)
  return ts.getPreEmitDiagnostics(checked).flatMap(({ file, start = 0, messageText }) => {
    const program = file && byFile.get(file.fileName)
    // Errors inside the packages are for the packages' own type check to report.
    if (file && !program) return []
    const line = file ? file.getLineAndCharacterOfPosition(start).line + 1 : 0
    return [`${program?.readme ?? folder}:${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`]
  })
}

/** @param {Program} program @param {string} folder @returns {string[]} problems */
export function execute(program, folder) {
  const file = join(folder, 'run.mjs')
  const { outputText } = ts.transpileModule(program.code, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  })
  writeFileSync(file, outputText)
  const result = spawnSync(process.execPath, [file], { cwd: folder, encoding: 'utf8', timeout: RUN_LIMIT_MS })
  if (result.status === 0) return []
  const reason = result.error ? String(result.error) : `exit code ${result.status ?? result.signal}`
  return [`${program.readme}:${program.line}: this block fails when run (${reason})\n${result.stdout}${result.stderr}`]
}

/** Makes a folder in which every ditkit package can be imported. @param {string} folder */
function prepare(folder) {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  for (const name of readdirSync(join(root, 'packages'))) {
    const manifest = join(root, 'packages', name, 'package.json')
    if (!existsSync(manifest)) continue
    const link = join(folder, 'node_modules', JSON.parse(readFileSync(manifest, 'utf8')).name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(dirname(manifest), link, 'dir')
  }
}

function readmes() {
  const inGroups = ['packages', 'apps', 'tooling'].flatMap(group =>
    readdirSync(join(root, group)).map(name => join(root, group, name, 'README.md')),
  )
  return [join(root, 'README.md'), ...inGroups].filter(path => existsSync(path))
}

function main() {
  const folder = join(root, '.cache', `readme-${process.pid}`)
  prepare(folder)
  try {
    const programs = readmes().flatMap(path => programsOf(relative(root, path), readFileSync(path, 'utf8')))
    const problems = typeCheck(programs, folder)
    const runnable = programs.filter(program => program.run)
    if (problems.length === 0) for (const program of runnable) problems.push(...execute(program, folder))
    for (const problem of problems) console.error(problem)
    if (problems.length) process.exitCode = 1
    else console.log(`checked ${programs.length} programs, ran ${runnable.length}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main()
