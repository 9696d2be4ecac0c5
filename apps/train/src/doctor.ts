// ditkit doctor: what this machine offers, and why the rest was not found.

import { createRequire } from 'node:module'
import { arch, cpus, platform, release, totalmem } from 'node:os'
import { type Device, reference } from '@ditkit/core'
import { messageOf } from './errors'
import { packageVersion } from './package-files'

/** Backends that are packages of their own, beside the one that always comes along. */
const OPTIONAL_BACKENDS = ['@ditkit/backend-cuda', '@ditkit/backend-webgpu']
const PACKAGES = ['core', 'backend-cpu', 'nn', 'dit-model', 'diffusion', 'flow-matching', 'checkpoint']

export async function doctor(): Promise<void> {
  console.log(`ditkit ${packageVersion()}`)
  line('packages', PACKAGES.map(name => `${name} ${versionOf(`@ditkit/${name}`)}`).join(', '))
  line('Node', `${process.version} (N-API ${process.versions.napi}), ${platform()} ${arch()}, ${release()}`)
  line(
    'processor',
    `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} logical cores, ${(totalmem() / 2 ** 30).toFixed(1)} GiB memory`,
  )
  console.log('\nDevices')
  await report('cpu', async () => {
    const { cpu, describeCpu } = await import('@ditkit/backend-cpu')
    for (const [what, value] of Object.entries(describeCpu())) line(`  ${what}`, shown(value))
    return cpu()
  })
  await report('reference', () => reference())
  for (const name of OPTIONAL_BACKENDS) {
    const found = versionOf(name)
    console.log(
      `${found === 'not installed' ? '-' : '+'} ${name}: ${found === 'not installed' ? `not installed (this version of ditkit has no use for it yet)` : found}`,
    )
  }
}

async function report(name: string, open: () => Promise<Device>): Promise<void> {
  try {
    const device = await open()
    console.log(`+ ${name}: ${device.description}`)
    line('  dtypes', device.backend.dtypes.join(', '))
    line(
      '  attention',
      [...device.backend.attentionKernels.map(kernel => kernel.name), 'chunked', 'standard'].join(', '),
    )
    device.dispose()
  } catch (error) {
    console.log(`- ${name}: not available. ${messageOf(error)}`)
  }
}

function versionOf(name: string): string {
  try {
    return createRequire(import.meta.url)(`${name}/package.json`).version
  } catch {
    return 'not installed'
  }
}

function line(what: string, text: string): void {
  console.log(`${what.padEnd(14)} ${text}`)
}

const shown = (value: unknown): string =>
  Array.isArray(value) ? value.map(shown).join(', ') : typeof value === 'object' ? JSON.stringify(value) : String(value)
