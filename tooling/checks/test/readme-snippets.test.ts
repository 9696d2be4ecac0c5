// The README check must find wrong code, and point at the line of the README where it stands.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { execute, programsOf, typeCheck } from '../readme-snippets.mjs'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'readme-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const readme = (...lines: string[]) => programsOf('README.md', lines.join('\n'))

describe('the README check', () => {
  it('joins continued blocks, keeps line numbers, and leaves other blocks alone', () => {
    const programs = readme(
      '# T',
      '```ts',
      'const a = 1',
      '```',
      'prose',
      '```sh',
      'npm i',
      '```',
      '```ts continued run',
      'a',
      '```',
    )
    expect(programs).toEqual([
      { readme: 'README.md', line: 2, run: true, code: `${'\n'.repeat(2)}const a = 1${'\n'.repeat(7)}a` },
    ])
    expect(readme('```ts no-check', '???', '```')).toEqual([])
  })

  it('refuses a mark it does not know, and a continuation of nothing', () => {
    expect(() => readme('```ts runs', '```')).toThrow("README.md:1: 'runs' is none of: continued, run, no-check")
    expect(() => readme('', '```ts continued', '```')).toThrow('README.md:2: nothing to continue from')
  })

  it('reports a type error at its line of the README, and accepts top-level await', () => {
    const programs = readme(
      '# T',
      '',
      '```ts',
      'const n: number = await Promise.resolve(1)',
      "const s: number = 'x'",
      '```',
    )
    expect(typeCheck(programs, folder)).toEqual(["README.md:5: Type 'string' is not assignable to type 'number'."])
  })

  it('reports a block that fails when run', () => {
    const [fails, works] = readme(
      '```ts run',
      "throw new Error('broken')",
      '```',
      '```ts run',
      'const n: number = 1',
      '```',
    )
    expect(execute(fails!, folder)).toEqual([expect.stringMatching(/^README\.md:1: .*exit code 1[\s\S]*broken/)])
    expect(execute(works!, folder)).toEqual([])
  })
})
