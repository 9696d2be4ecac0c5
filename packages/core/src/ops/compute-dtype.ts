// In which precision a product may be asked for on a device.

import type { ComputeSupport } from '../backend'
import type { Device } from '../device'
import type { ComputeDType } from '../dtype'
import { notice } from '../notice'

/** Throws, with the way out, when the device's products cannot round their operands to `computeDtype`. */
export function requireComputeDType(
  op: string,
  device: Device,
  computeDtype: ComputeDType,
): ComputeSupport | undefined {
  if (computeDtype === 'f32') return undefined
  if (computeDtype !== 'bf16' && computeDtype !== 'f16') {
    throw new TypeError(`${op}: computeDtype is '${computeDtype}' (expected 'f32', 'bf16' or 'f16')`)
  }
  const { computeDtypes = {} } = device.backend
  const support = computeDtypes[computeDtype]
  if (!support) {
    const has = ['f32', ...Object.keys(computeDtypes)].join(', ')
    throw new TypeError(
      `${op}: the ${device.name} device does not multiply in ${computeDtype} (it has ${has}); leave computeDtype out for f32`,
    )
  }
  return support
}

/** The same, and says once when it is emulated. */
export function checkComputeDType(op: string, device: Device, computeDtype: ComputeDType): void {
  const support = requireComputeDType(op, device, computeDtype)
  if (support && support.instruction === undefined && device.name !== 'reference') {
    notice(
      device,
      `there is no instruction for ${computeDtype} here: products round their operands first and multiply in f32, slower than computeDtype 'f32'`,
    )
  }
}
