// Opens the device a configuration asks for. Nothing slower is ever taken instead.

import { cpu } from '@ditkit/backend-cpu'
import { type Device, reference } from '@ditkit/core'

export async function openDevice(config: {
  device: 'cpu' | 'reference'
  threads?: number | undefined
}): Promise<Device> {
  if (config.device === 'reference') return reference()
  return cpu(config.threads === undefined ? {} : { threads: config.threads })
}
