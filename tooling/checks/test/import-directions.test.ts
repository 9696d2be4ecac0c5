// The import-direction check must refuse what it is there to refuse: each case is a small repository with one fault.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { checkImportDirections } from '../import-directions.mjs'

const made: string[] = []

afterEach(() => {
  for (const root of made.splice(0)) rmSync(root, { recursive: true })
})

const exportsOf = (...entries: string[]) =>
  Object.fromEntries(
    entries.map(entry => [entry, { 'ditkit-source': `./src/${entry === '.' ? 'index' : entry.slice(2)}.ts` }]),
  )
const peerOnCore = {
  peerDependencies: { '@ditkit/core': '>=0.1 <2' },
  devDependencies: { '@ditkit/core': 'workspace:*' },
}

function problemsOf(files: Record<string, string | object>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'import-directions-'))
  made.push(root)
  for (const [path, content] of Object.entries(files)) {
    const file = join(root, 'packages', path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  }
  return checkImportDirections(root).problems
}

const nn = (more: object = {}) => ({ name: '@ditkit/nn', exports: exportsOf('.'), ...peerOnCore, ...more })

describe('the import-direction check', () => {
  it('accepts a package that uses core as a peer, and a backend in its tests', () => {
    expect(
      problemsOf({
        'nn/package.json': nn({
          devDependencies: { '@ditkit/core': 'workspace:*', '@ditkit/backend-cpu': 'workspace:*' },
        }),
        'nn/src/index.ts': "export { x } from './layer'",
        'nn/src/layer.ts': "import type { Tensor } from '@ditkit/core'\nexport const x = 1 as unknown as Tensor",
        'nn/src/layer.test.ts': "import { cpu } from '@ditkit/backend-cpu'\nimport { readFileSync } from 'node:fs'",
        'nn/test/run.ts': "import { cpu } from '@ditkit/backend-cpu'",
      }),
    ).toEqual([])
  })

  it('refuses a backend in a source, whether imported, re-exported, loaded later or used as a type', () => {
    for (const code of [
      "import { cpu } from '@ditkit/backend-cpu'",
      "export { cpu } from '@ditkit/backend-cpu'",
      "const later = () => import('@ditkit/backend-cpu')",
      "type Cpu = import('@ditkit/backend-cpu').Cpu",
    ]) {
      const problems = problemsOf({ 'nn/package.json': nn(), 'nn/src/index.ts': `\n${code}` })
      expect(problems).toEqual([
        'packages/nn/src/index.ts:2: @ditkit/nn may not import @ditkit/backend-cpu (it may import core); only its tests may',
      ])
    }
  })

  it('refuses core importing anything of ditkit', () => {
    const core = { name: '@ditkit/core', exports: exportsOf('.'), devDependencies: { '@ditkit/nn': 'workspace:*' } }
    const problems = problemsOf({ 'core/package.json': core, 'core/src/index.ts': "import '@ditkit/nn'" })
    expect(problems).toEqual([expect.stringContaining('may import no other ditkit package')])
  })

  it('refuses core as a plain dependency', () => {
    const manifest = nn({ peerDependencies: {}, dependencies: { '@ditkit/core': 'workspace:*' } })
    const problems = problemsOf({ 'nn/package.json': manifest, 'nn/src/index.ts': '' })
    expect(problems).toEqual([expect.stringMatching(/@ditkit\/core is in dependencies; make it a peer dependency/)])
  })

  it('refuses an import that the manifest does not declare', () => {
    const manifest = nn({ peerDependencies: {} })
    const problems = problemsOf({ 'nn/package.json': manifest, 'nn/src/index.ts': "import '@ditkit/core'" })
    expect(problems).toEqual([expect.stringContaining('@ditkit/core is imported but not in peerDependencies')])
  })

  it('refuses a Node built-in that a browser entry reaches, but not under ./node or in a native package', () => {
    const reads = "import { readFileSync } from 'fs'"
    const files = { 'nn/src/index.ts': "export * from './deep'", 'nn/src/deep.ts': reads }
    expect(problemsOf({ 'nn/package.json': nn(), ...files })).toEqual([
      "packages/nn/src/deep.ts:1: 'fs' is reached from the entry '.', which runs in browsers; move it under './node'",
    ])
    const underNode = { 'nn/src/index.ts': '', 'nn/src/node.ts': reads }
    expect(problemsOf({ 'nn/package.json': nn({ exports: exportsOf('.', './node') }), ...underNode })).toEqual([])
    const native = { name: '@ditkit/backend-cpu', exports: exportsOf('.'), ...peerOnCore }
    expect(problemsOf({ 'backend-cpu/package.json': native, 'backend-cpu/src/index.ts': reads })).toEqual([])
  })

  it('refuses a relative import that leaves the package', () => {
    const problems = problemsOf({ 'nn/package.json': nn(), 'nn/src/index.ts': "import '../../core/src/index'" })
    expect(problems).toEqual([expect.stringContaining('leaves the package')])
  })

  it('refuses a package that nobody listed', () => {
    const problems = problemsOf({ 'surprise/package.json': { name: '@ditkit/surprise' } })
    expect(problems).toEqual([expect.stringContaining('is not listed in MAY_IMPORT')])
  })
})
