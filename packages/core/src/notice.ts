// A slower path is never taken in silence: it is said once, with the reason.

import type { Device } from './device'

const said = new WeakMap<Device, Set<string>>()

/** Warns once per device and `subject`: the message itself, unless what it tells differs from call to call. */
export function notice(device: Device, message: string, subject = message): void {
  const before = said.get(device) ?? new Set()
  said.set(device, before)
  if (before.has(subject)) return
  before.add(subject)
  console.warn(`ditkit (${device.name}): ${message}`)
}

/** Says that a fused op is composed from elementwise programs. Not on the reference device, which is nothing but that. */
export function noticeComposed(device: Device, op: string): void {
  if (device.name !== 'reference') notice(device, `the backend has no fused ${op}; it is composed of several passes`)
}
