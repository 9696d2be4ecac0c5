// ditkit doctor: what this machine offers, and why the rest was not found.

import { createRequire } from 'node:module'
import { arch, cpus, platform, release, totalmem } from 'node:os'
import { type ComputeSupport, type Device, reference } from '@ditkit/core'
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
  await reportCpu()
  await report('reference', () => reference())
  for (const name of OPTIONAL_BACKENDS) {
    const version = versionOf(name)
    const found = version !== 'not installed'
    console.log(
      `${found ? '+' : '-'} ${name}: ${found ? version : 'not installed; this version of ditkit has no use for it yet'}`,
    )
  }
}

async function reportCpu(): Promise<void> {
  const { cpu, describeCpu } = await import('@ditkit/backend-cpu')
  const opened = await report('cpu', () => cpu())
  const { addonPath, build, cores, isa, isas } = describeCpu()
  line('  sets', `${isas.join(', ') || 'none'}${opened ? `; ${isa} is used (DITKIT_ISA chooses another)` : ''}`)
  line('  threads', String(cores))
  line('  addon', build ? `${addonPath}, built with ${build.compiler} for ${build.target}` : 'not built')
}

/** Opens a device and prints what it is, or why it cannot be had. */
async function report(name: string, open: () => Promise<Device>): Promise<boolean> {
  try {
    const device = await open()
    console.log(`+ ${name}: ${device.description}`)
    line('  dtypes', device.backend.dtypes.join(', '))
    line('  products', ['f32', ...Object.entries(device.backend.computeDtypes ?? {}).map(describeProducts)].join(', '))
    const kernels = device.backend.attentionKernels.map(kernel => kernel.name)
    line('  attention', [...kernels, 'chunked', 'standard'].join(', '))
    device.dispose()
    return true
  } catch (error) {
    console.log(`- ${name}: not available. ${messageOf(error)}`)
    return false
  }
}

function describeProducts([dtype, { instruction }]: [string, ComputeSupport]): string {
  return `${dtype} (${instruction ?? 'emulated: slower than f32'})`
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
