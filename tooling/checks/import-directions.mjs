// Holds the rule of who may import whom: which ditkit packages a package may use, that none uses a backend, that the
// shared core is a peer dependency only, and that what runs in a browser imports no Node built-in but under `./node`.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** For each package, the ditkit packages that its sources may import. A new package is refused until it is listed. */
const MAY_IMPORT = {
  core: [],
  checkpoint: [],
  'backend-cpu': ['core'],
  'backend-cuda': ['core'],
  'backend-webgpu': ['core'],
  'attention-kernels-cuda': ['core'],
  'attention-webgpu': ['core'],
  nn: ['core'],
  'bias-factorization': ['core', 'nn'],
  'scene-collate': ['core', 'nn'],
  diffusion: ['core', 'nn'],
  'flow-matching': ['core', 'nn'],
  'dit-model': ['core', 'nn'],
  distributed: ['core', 'nn'],
}

/** These run in Node only. */
const NATIVE = new Set(['backend-cpu', 'backend-cuda', 'attention-kernels-cuda', 'distributed'])

/** @typedef {{ specifier: string, line: number, dynamic: boolean }} Import */

/**
 * Checks every package of the repository at `root`.
 * @param {string} root
 * @returns {{ problems: string[], files: number }} each problem names the file and the way out
 */
export function checkImportDirections(root) {
  /** @type {string[]} */
  const problems = []
  let files = 0
  for (const name of foldersIn(join(root, 'packages'))) {
    const folder = join(root, 'packages', name)
    if (!existsSync(join(folder, 'package.json'))) continue
    const say = (/** @type {string} */ where, /** @type {string} */ what) =>
      problems.push(`${relative(root, where)}: ${what}`)
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const allowed = /** @type {Record<string, string[]>} */ (MAY_IMPORT)[name]
    if (!allowed) {
      say(folder, `is not listed in MAY_IMPORT of tooling/checks/import-directions.mjs; say there what it may import`)
      continue
    }
    checkManifest(manifest, allowed, what => say(join(folder, 'package.json'), what))
    const sources = sourcesIn(folder)
    files += sources.length
    for (const file of sources) checkFile(file, folder, manifest, allowed, (line, what) => say(`${file}:${line}`, what))
    if (!NATIVE.has(name)) checkBrowserSafe(folder, manifest, (file, line, what) => say(`${file}:${line}`, what))
  }
  return { problems, files }
}

/** @param {any} manifest @param {string[]} allowed @param {(what: string) => void} say */
function checkManifest(manifest, allowed, say) {
  for (const kind of ['dependencies', 'optionalDependencies', 'peerDependencies']) {
    for (const dependency of Object.keys(manifest[kind] ?? {}).filter(isOurs)) {
      if (!allowed.includes(shortName(dependency))) {
        say(`${kind} names ${dependency}, which ${manifest.name} may not import (${listed(allowed)})`)
      } else if (kind !== 'peerDependencies') {
        say(`${dependency} is in ${kind}; make it a peer dependency, because two copies of it would not work together`)
      }
    }
  }
}

/**
 * @param {string} file @param {string} folder @param {any} manifest @param {string[]} allowed
 * @param {(line: number, what: string) => void} say
 */
function checkFile(file, folder, manifest, allowed, say) {
  const test = isTest(relative(folder, file))
  const shipped = { ...manifest.dependencies, ...manifest.peerDependencies, ...manifest.optionalDependencies }
  const declared = test ? { ...shipped, ...manifest.devDependencies } : shipped
  for (const { specifier, line } of importsOf(file)) {
    if (specifier.startsWith('.')) {
      if (relative(folder, join(dirname(file), specifier)).startsWith('..'))
        say(line, `'${specifier}' leaves the package; import the other package by its name`)
      continue
    }
    if (!isOurs(specifier)) continue
    const target = packageOf(specifier)
    if (target === manifest.name) continue
    if (!test && !allowed.includes(shortName(target)))
      say(line, `${manifest.name} may not import ${target} (${listed(allowed)}); only its tests may`)
    else if (!(target in declared))
      say(line, `${target} is imported but not in ${test ? 'devDependencies' : 'peerDependencies'}`)
  }
}

/** Follows the static imports of each browser entry. */
/** @param {string} folder @param {any} manifest @param {(file: string, line: number, what: string) => void} say */
function checkBrowserSafe(folder, manifest, say) {
  const seen = new Set()
  /** @param {string} file @param {string} entry */
  const visit = (file, entry) => {
    if (seen.has(file)) return
    seen.add(file)
    for (const { specifier, line, dynamic } of importsOf(file)) {
      if (dynamic) continue
      if (isBuiltin(specifier))
        say(
          file,
          line,
          `'${specifier}' is reached from the entry '${entry}', which runs in browsers; move it under './node'`,
        )
      const next = specifier.startsWith('.') ? resolveSource(join(dirname(file), specifier)) : undefined
      if (next) visit(next, entry)
    }
  }
  for (const [entry, target] of Object.entries(manifest.exports ?? {})) {
    const source = /** @type {any} */ (target)['ditkit-source']
    if (source && entry !== './node' && !entry.startsWith('./node/')) visit(join(folder, source), entry)
  }
}

/** @param {string} file @returns {Import[]} every import, export-from and `import()` of a literal */
function importsOf(file) {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest)
  /** @type {Import[]} */
  const imports = []
  /** @param {ts.Node | undefined} literal @param {boolean} dynamic */
  const add = (literal, dynamic) => {
    if (literal && ts.isStringLiteralLike(literal)) {
      const line = source.getLineAndCharacterOfPosition(literal.getStart(source)).line + 1
      imports.push({ specifier: literal.text, line, dynamic })
    }
  }
  /** @param {ts.Node} node */
  const visit = node => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(node.moduleSpecifier, false)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], true)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, false)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return imports
}

/** @param {string} path without extension, as relative imports are written */
function resolveSource(path) {
  return [`${path}.ts`, `${path}.tsx`, join(path, 'index.ts'), path].find(
    candidate => /\.tsx?$/.test(candidate) && existsSync(candidate),
  )
}

/** @param {string} folder */
function sourcesIn(folder) {
  return ['src', 'test'].flatMap(name => {
    const top = join(folder, name)
    if (!existsSync(top)) return []
    const paths = readdirSync(top, { recursive: true, encoding: 'utf8' })
    return paths.filter(path => /\.[mc]?tsx?$/.test(path)).map(path => join(top, path))
  })
}

/** @param {string} parent */
function foldersIn(parent) {
  return readdirSync(parent, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(entry => entry.name)
    .sort()
}

/** @param {string} path inside the package */
const isTest = path => path.startsWith('test') || /\.test\.tsx?$/.test(path)
/** @param {string} specifier */
const isOurs = specifier =>
  specifier === 'ditkit' || specifier.startsWith('@ditkit/') || specifier.startsWith('ditkit/')
/** @param {string} specifier */
const packageOf = specifier => (specifier.startsWith('@') ? specifier.split('/').slice(0, 2).join('/') : 'ditkit')
/** @param {string} name */
const shortName = name => name.replace('@ditkit/', '')
/** @param {string[]} allowed */
const listed = allowed =>
  allowed.length ? `it may import ${allowed.join(', ')}` : 'it may import no other ditkit package'

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { problems, files } = checkImportDirections(fileURLToPath(new URL('../..', import.meta.url)))
  for (const problem of problems) console.error(problem)
  if (problems.length) process.exit(1)
  console.log(`checked ${files} files`)
}
