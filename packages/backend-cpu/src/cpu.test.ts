// Making a device: options, what is said about it, and what is said when there is none.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { add, sum } from '@ditkit/core'
import { afterEach, expect, test, vi } from 'vitest'
import { cpu, describeCpu, fmaPeak } from './index'
import { loadAddon } from './native'

afterEach(() => vi.unstubAllEnvs())

test('a device says its processor, instruction set and threads', async () => {
  const device = await cpu({ threads: 3, isa: undefined })
  const { isa } = describeCpu()
  expect(device.name).toBe('cpu')
  expect(device.description).toContain(`${isa}, 3 threads`)
  expect(device.floatDType).toBe('f32')
  expect([...(await add(device.ones([2]), 1).data())]).toEqual([2, 2])
  device.dispose()
})

test('every instruction set of the machine can be asked for, by option and by DITKIT_ISA', async () => {
  for (const isa of describeCpu().isas) {
    const device = await cpu({ isa: isa as 'avx2', threads: 1 })
    expect(device.description).toContain(`${isa}, 1 thread`)
    device.dispose()
    vi.stubEnv('DITKIT_ISA', isa)
    expect(describeCpu().isa).toBe(isa)
    const fromEnvironment = await cpu({ threads: 1 })
    expect(fromEnvironment.description).toContain(`${isa}, 1 thread`)
    fromEnvironment.dispose()
    vi.unstubAllEnvs()
  }
})

test('an instruction set the machine has not is refused, never replaced', async () => {
  await expect(cpu({ isa: 'sve' as 'neon' })).rejects.toThrow(/has no instruction set 'sve' \(it has /)
  vi.stubEnv('DITKIT_ISA', 'avx1024')
  await expect(cpu()).rejects.toThrow(/has no instruction set 'avx1024'/)
  expect(describeCpu().problem).toMatch(/DITKIT_ISA is 'avx1024'/)
})

test.each([0, -1, 1.5, 257, Number.NaN])('threads: %s is refused', async threads => {
  await expect(cpu({ threads })).rejects.toThrow(/threads is .* \(expected a whole number from 1 to 256\)/)
})

test('a memory limit of 0 is refused, and a small one is kept', async () => {
  await expect(cpu({ memoryLimit: 0 })).rejects.toThrow(/memoryLimit is 0/)
  const device = await cpu({ memoryLimit: 1000 })
  expect(() => device.zeros([1000])).toThrow(/4000 bytes were asked for.*the limit is 1000/)
  device.dispose()
})

test('the peak of multiply-adds is measured for every instruction set of the machine', () => {
  for (const isa of describeCpu().isas) expect(fmaPeak(1, isa)).toBeGreaterThan(0.1)
  expect(() => fmaPeak(1, 'sve')).toThrow(/no instruction set 'sve'/)
  expect(() => fmaPeak(0, 'baseline')).toThrow(/threads must be from 1 to 256/)
})

test('scratch memory of kernels is counted apart from tensors', async () => {
  const device = await cpu({ threads: 1 })
  expect(device.memory()).toMatchObject({ liveBytes: 0, workspaceBytes: 0 })
  // A sum over many rows keeps partial sums of blocks.
  sum(device.ones([4096, 64]), 0)
  await device.sync()
  const { workspaceBytes } = device.memory()
  expect(workspaceBytes).toBeGreaterThan(0)
  sum(device.ones([4096, 64]), 0)
  await device.sync()
  expect(device.memory().workspaceBytes).toBe(workspaceBytes)
  device.dispose()
})

test('a missing addon, and one that is none, are errors that say what to run', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'ditkit-cpu-'))
  try {
    expect(() => loadAddon(path.join(folder, 'none.node'))).toThrow(
      /is not built .*Build it with: node ".*build-native.mjs"/,
    )
    const broken = path.join(folder, 'broken.node')
    writeFileSync(broken, 'not a library')
    expect(() => loadAddon(broken)).toThrow(/does not load: .*Build it for this system with: node/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
