// A stamp holds exactly while its inputs are unchanged and its outputs are in place.
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { digest, filesUnder, holds, record } from '../stamp.mjs'

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'stamp-'))
  mkdirSync(join(root, 'src', 'node_modules'), { recursive: true })
  write('src/a.ts', 'a')
  write('src/node_modules/x.ts', 'x')
  write('out.js', 'built')
  record(join(root, 'stamp.json'), root, inputs(), [join(root, 'out.js')])
})
afterEach(() => rmSync(root, { recursive: true }))

const write = (path: string, text: string) => writeFileSync(join(root, path), text)
const inputs = (facts = ['linux']) => digest(root, filesUnder(join(root, 'src')), facts)
const stillHolds = (facts?: string[]) => holds(join(root, 'stamp.json'), root, inputs(facts))

describe('a stamp', () => {
  it('holds while nothing changes, whatever the times of the files say', () => {
    utimesSync(join(root, 'src/a.ts'), 0, 0)
    expect(stillHolds()).toBe(true)
  })

  it('does not look into folders of dependencies', () => {
    write('src/node_modules/x.ts', 'y')
    expect(stillHolds()).toBe(true)
  })

  it('fails when a source changes, appears, disappears, or the platform is another', () => {
    write('src/a.ts', 'b')
    expect(stillHolds()).toBe(false)
    write('src/a.ts', 'a')
    write('src/b.ts', '')
    expect(stillHolds()).toBe(false)
    rmSync(join(root, 'src/b.ts'))
    expect(stillHolds()).toBe(true)
    expect(stillHolds(['darwin'])).toBe(false)
    rmSync(join(root, 'src/a.ts'))
    expect(stillHolds()).toBe(false)
  })

  it('fails when an output is missing or cut short', () => {
    write('out.js', 'bui')
    expect(stillHolds()).toBe(false)
    rmSync(join(root, 'out.js'))
    expect(stillHolds()).toBe(false)
  })

  it('fails when there is none, or it cannot be read', () => {
    write('stamp.json', '{')
    expect(stillHolds()).toBe(false)
    rmSync(join(root, 'stamp.json'))
    expect(stillHolds()).toBe(false)
  })
})
