// Kernels are made ready (compiled, validated, tuned) once, when their device is made. One that fails is refused by dispatch, with its
// reason; the device works without it.

import type { Backend } from '../backend'
import type { AttentionKernel } from './kernel'

/** Per backend and kernel: undefined when it is ready, else why it is not. */
const outcomes = new WeakMap<Backend, Map<AttentionKernel, string | undefined>>()

/** Runs `prepare` of the backend's kernels, one after another. */
export async function prepareKernels(backend: Backend): Promise<void> {
  const outcome = new Map<AttentionKernel, string | undefined>()
  for (const kernel of backend.attentionKernels) {
    try {
      await kernel.prepare?.(backend)
      outcome.set(kernel, undefined)
    } catch (error) {
      outcome.set(kernel, `it could not be prepared: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  outcomes.set(backend, outcome)
}

/** Why a kernel that wants to be prepared is not ready on a backend, or undefined when it is. */
export function unprepared(backend: Backend, kernel: AttentionKernel): string | undefined {
  if (!kernel.prepare) return undefined
  const outcome = outcomes.get(backend)
  if (outcome?.has(kernel)) return outcome.get(kernel)
  return 'it was not prepared; make the device with openDevice(backend)'
}
