// Lets Node run the TypeScript sources of the workspace, so that tests of the command line need no build:
// node --conditions=ditkit-source --import ./test/source-loader.mjs src/cli.ts
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { isBuiltin, register } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'

if (isMainThread) register(import.meta.url)

const cache = fileURLToPath(new URL('../../../node_modules/.cache/ditkit-sources', import.meta.url))

/** Relative imports are written without an extension. */
export async function resolve(specifier, context, next) {
  if (specifier.startsWith('.') && !isBuiltin(specifier)) {
    const base = new URL(specifier, context.parentURL).href
    for (const candidate of [`${base}.ts`, `${base}/index.ts`]) {
      if (existsSync(fileURLToPath(candidate))) return { url: candidate, format: 'module', shortCircuit: true }
    }
  }
  return next(specifier, context)
}

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context)
  return { format: 'module', source: await javascriptOf(fileURLToPath(url)), shortCircuit: true }
}

/** The compiler takes longer to load than a test run takes; what it made is kept by content. */
async function javascriptOf(fileName) {
  const source = readFileSync(fileName, 'utf8')
  const kept = join(cache, `${createHash('sha256').update(fileName).update(source).digest('hex')}.mjs`)
  if (existsSync(kept)) return readFileSync(kept, 'utf8')
  const { default: ts } = await import('typescript')
  const compilerOptions = {
    module: ts.ModuleKind.ESNext,
    target: ts.ScriptTarget.ES2022,
    verbatimModuleSyntax: true,
    inlineSourceMap: true,
  }
  const { outputText } = ts.transpileModule(source, { compilerOptions, fileName })
  mkdirSync(cache, { recursive: true })
  const temporary = `${kept}.${process.pid}`
  writeFileSync(temporary, outputText)
  renameSync(temporary, kept)
  return outputText
}
