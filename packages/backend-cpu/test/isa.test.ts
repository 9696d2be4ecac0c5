// What the processor has not is never executed. Emulated processors that lack it say so: an illegal instruction ends a process.

import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { addonPath } from '../src/native'

const run = promisify(execFile)
const child = path.join(__dirname, 'isa-child.mjs')
const objects = path.join(__dirname, '..', '.cache', 'native', `${process.platform}-${process.arch}`)
const isX64Linux = process.platform === 'linux' && process.arch === 'x64'

async function outcomeOn(processor: string): Promise<{ sets: string[]; outcome: Record<string, string> }> {
  const { stdout } = await run('qemu-x86_64', ['-cpu', processor, process.execPath, child, addonPath])
  return JSON.parse(stdout)
}

const noEmulator = isX64Linux
  ? spawnSync('qemu-x86_64', ['--version']).status !== 0 && 'qemu-user is not installed'
  : 'it is about x64 on Linux'

const PROCESSORS: readonly [string, string[]][] = [
  ['Nehalem', ['baseline']],
  // The kernels are compiled for all that came with AVX2; a virtual machine may leave single ones out.
  ['Haswell,-bmi2', ['baseline']],
  ['Haswell,-f16c', ['baseline']],
  ['Haswell,-abm', ['baseline']],
  ['Haswell', ['baseline', 'avx2']],
]
for (const [processor, expected] of PROCESSORS) {
  test(`on ${processor} there are ${expected.join(' and ')}, and no other set opens`, async context => {
    if (noEmulator) return context.skip(noEmulator)
    const { sets, outcome } = await outcomeOn(processor)
    expect(sets).toEqual(expected)
    for (const [isa, what] of Object.entries(outcome)) {
      if (sets.includes(isa)) expect(what).toBe('opened')
      else expect(what).toBe(`cpu: this machine has no instruction set '${isa}' (the best it has is ${sets.at(-1)})`)
    }
  })
}

test('kernels of an instruction set share no function with code that runs everywhere', context => {
  const reason = isX64Linux ? !existsSync(objects) && 'its object files are gone' : 'it is about x64 on Linux'
  if (reason) return context.skip(reason)
  // Of two equal inline functions the linker keeps one: it might keep the one compiled for AVX-512.
  const kernels = readdirSync(objects).filter(name => /\.(avx2|avx512|avx512bf16|amx)\.cc\..*\.o$/.test(name))
  expect(kernels.length).toBeGreaterThan(0)
  for (const name of kernels) {
    const symbols = execFileSync('nm', ['--defined-only', path.join(objects, name)], { encoding: 'utf8' })
    expect(
      symbols.split('\n').filter(line => / W /.test(line)),
      name,
    ).toEqual([])
  }
})
