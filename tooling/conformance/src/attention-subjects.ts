// The attention kernels under test: every kernel of every device.

import { cpuFlash } from '@ditkit/backend-cpu'
import { chunkedAttention, createDevice, type Device, reference, referenceBackend } from '@ditkit/core'
import { type TestDevice, testDevices } from './devices'

/** Blocks that small problems cross, with edges that divide nothing. */
const SMALL_BLOCKS = { queries: 24, keys: 17 }

export interface AttentionSubject {
  readonly device: TestDevice
  readonly kernel: string
}

/** All pairs of device and kernel; the reference in float64 with `standard`, the oracle, is left out. */
export function attentionSubjects(): AttentionSubject[] {
  return testDevices().flatMap(device =>
    kernelsOf(device.name).map(kernel => ({
      kernel,
      device: device.name.startsWith('reference') ? { ...device, open: withSmallBlocks(device.name) } : device,
    })),
  )
}

function withSmallBlocks(name: string): () => Promise<Device> {
  const dtype = name.endsWith('f64') ? 'f64' : 'f32'
  return () => reference({ dtype, attention: [chunkedAttention(SMALL_BLOCKS)] })
}

function kernelsOf(device: string): string[] {
  if (device === 'reference f64') return ['chunked', chunkedAttention(SMALL_BLOCKS).name]
  if (device === 'reference f32') return ['standard', chunkedAttention(SMALL_BLOCKS).name]
  if (device.startsWith('cpu')) return ['standard', 'chunked', cpuFlash().name]
  return ['chunked']
}

/** The device that is right: scores materialised in float64. */
export async function oracleDevice(): Promise<Device> {
  return createDevice(referenceBackend({ dtype: 'f64' }))
}
