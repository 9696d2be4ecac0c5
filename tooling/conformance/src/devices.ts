// The devices under test. An op or an option works when it works on all of them.

import { cpu, describeCpu } from '@ditkit/backend-cpu'
import { createDevice, type Device, reference, referenceBackend } from '@ditkit/core'
import { queuedBackend } from './queued-backend'

export interface TestDevice {
  readonly name: string
  readonly open: () => Promise<Device>
  /** Why it cannot be tested here. */
  readonly skipped?: string
}

export function testDevices(): TestDevice[] {
  // Under an emulator every test takes fifty times as long, and the TypeScript devices have nothing of the processor's to test.
  if (process.env.DITKIT_TEST_DEVICES === 'cpu') return cpuDevices()
  return [
    { name: 'reference f64', open: () => reference({ dtype: 'f64' }) },
    { name: 'reference f32', open: () => reference({ dtype: 'f32' }) },
    { name: 'queued reference f32', open: async () => createDevice(queuedBackend(referenceBackend())) },
    ...cpuDevices(),
  ]
}

/** The CPU device under every instruction set that kernels are built for on this architecture. */
function cpuDevices(): TestDevice[] {
  const { isas, problem } = describeCpu()
  const built =
    process.arch === 'arm64' ? (['neon'] as const) : (['baseline', 'avx2', 'avx512', 'avx512bf16', 'amx'] as const)
  return built.map(isa => ({
    name: `cpu ${isa}`,
    open: () => cpu({ isa }),
    skipped: problem ?? (isas.includes(isa) ? undefined : `this machine has no ${isa}`),
  }))
}
