// The reference device: plain TypeScript, for tests, for checking other devices, and for small samples.

import { type Device, openDevice } from '../device'
import { type ReferenceOptions, referenceBackend } from './backend'

/** A device that computes in plain TypeScript: readable, slow, right. Never chosen unless asked for. */
export async function reference(options: ReferenceOptions = {}): Promise<Device> {
  return openDevice(referenceBackend(options))
}
