// What the set-up asks of the machine, and what it says when that is missing.
import { describe, expect, it } from 'vitest'
import { findCompiler } from '../compiler.mjs'
import { nodeProblem } from '../node-version.mjs'

describe('nodeProblem', () => {
  it('accepts 20.19 and everything newer', () => {
    for (const version of ['20.19.0', '20.20.2', '22.0.0', '26.1.0']) expect(nodeProblem(version)).toBeUndefined()
  })

  it('refuses older versions and says what is needed', () => {
    for (const version of ['12.22.0', '18.20.4', '20.18.3'])
      expect(nodeProblem(version)).toContain(`ditkit needs Node 20.19 or newer; this is Node ${version}`)
  })
})

describe('findCompiler', () => {
  it('names the remedy when no compiler is on the path', () => {
    const remedy = process.platform === 'darwin' ? 'xcode-select --install' : 'apt-get install g++'
    expect(() => findCompiler({ PATH: '' })).toThrow('none of c++, g++, clang++ runs')
    expect(() => findCompiler({ PATH: '' })).toThrow(remedy)
  })

  it('does not look past a $CXX that fails', () => {
    expect(() => findCompiler({ ...process.env, CXX: 'no-such-compiler -O2' })).toThrow(
      "$CXX is set to 'no-such-compiler -O2', which does not run",
    )
  })

  it('accepts a $CXX with arguments', () => {
    // Node stands in for a compiler: it, too, answers --version with success.
    const found = findCompiler({ ...process.env, CXX: `${process.execPath} --no-warnings` })
    expect(found).toEqual({ command: `${process.execPath} --no-warnings`, version: process.version })
  })
})
