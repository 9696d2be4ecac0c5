// Which kernel takes a call, and why the others do not.

import type { Device } from '../device'
import { notice } from '../notice'
import { internally } from '../scope'
import type { Tensor } from '../tensor'
import { chunkedAttention } from './chunked'
import { gradientsAhead, routing } from './gradients'
import { ATTENTION_CONTRACT, type AttentionKernel, type AttentionProblem } from './kernel'
import type { AttentionOptions } from './options'
import { unprepared } from './prepare'
import { normalise } from './problem'
import { standardKernel } from './standard'

export interface AttentionCandidate {
  readonly kernel: string
  readonly status: 'chosen' | 'refused' | 'not needed'
  /** Why it is refused, or what the choice rests on. */
  readonly reason: string
}

export interface AttentionExplanation {
  readonly problem: AttentionProblem
  /** Name of the kernel, or undefined when none can. */
  readonly choice: string | undefined
  /** In the order they are asked. */
  readonly candidates: readonly AttentionCandidate[]
}

const CORE_KERNELS: readonly AttentionKernel[] = [chunkedAttention(), standardKernel]

/** Why `kernel` cannot take `problem`, or undefined when it can. */
function refusal(device: Device, kernel: AttentionKernel, problem: AttentionProblem): string | undefined {
  if (kernel.contract !== ATTENTION_CONTRACT) {
    return `it was built for attention contract ${kernel.contract}, and this is ${ATTENTION_CONTRACT}; update its package`
  }
  const notReady = unprepared(device.backend, kernel)
  if (notReady) return notReady
  const unknown = [...problem.features].filter(feature => !kernel.features.has(feature))
  if (unknown.length > 0) return `it does not know ${unknown.join(', ')}`
  const answer = kernel.supports(problem)
  return answer === true ? undefined : answer.reason
}

function candidatesOf(device: Device): AttentionKernel[] {
  return [...device.backend.attentionKernels, ...CORE_KERNELS]
}

function decide(device: Device, problem: AttentionProblem, wanted: string) {
  let chosen: AttentionKernel | undefined
  const candidates = candidatesOf(device).map((kernel): AttentionCandidate => {
    const { name } = kernel
    if (wanted !== 'auto' && name !== wanted) {
      return { kernel: name, status: 'not needed', reason: `kernel: '${wanted}' was asked for` }
    }
    const reason = refusal(device, kernel, problem)
    if (reason) return { kernel: name, status: 'refused', reason }
    if (chosen) return { kernel: name, status: 'not needed', reason: `${chosen.name} comes before it` }
    chosen = kernel
    return { kernel: name, status: 'chosen', reason: wanted === 'auto' ? 'the first that can' : 'it was asked for' }
  })
  return { chosen, candidates }
}

/** The kernel for a problem. Throws when the one asked for cannot, or none can. */
export function chooseKernel(op: string, device: Device, problem: AttentionProblem, wanted = 'auto'): AttentionKernel {
  // Nearly every call goes to the first kernel of its device; the others are only asked to explain.
  const first = device.backend.attentionKernels[0]
  if (first && (wanted === 'auto' || wanted === first.name) && !refusal(device, first, problem)) return first
  const { chosen, candidates } = decide(device, problem, wanted)
  const refused = candidates.filter(candidate => candidate.status === 'refused')
  const reasons = refused.map(({ kernel, reason }) => `${kernel}: ${reason}`).join('; ')
  if (!chosen) {
    if (refused.length > 0) throw new Error(`${op}: no kernel can: ${reasons}`)
    const names = candidates.map(candidate => candidate.kernel).join(', ')
    throw new RangeError(`${op}: the ${device.name} device has no kernel '${wanted}' (it has ${names})`)
  }
  if (refused.length > 0) notice(device, `attention runs in the slower kernel ${chosen.name}, because ${reasons}`)
  return chosen
}

/** What `attention` would do with a problem on a device: each candidate, the choice, and every reason. Runs nothing. */
export function explainAttention(device: Device, problem: AttentionProblem, kernel?: string): AttentionExplanation
/** The same for a call. Its checks of lengths, offsets and masks run, the attention does not. */
export function explainAttention(q: Tensor, k: Tensor, v: Tensor, options?: AttentionOptions): AttentionExplanation
export function explainAttention(
  first: Device | Tensor,
  second: AttentionProblem | Tensor,
  third?: Tensor | string,
  options: AttentionOptions = {},
): AttentionExplanation {
  if ('backend' in first) {
    const problem = second as AttentionProblem
    const { chosen, candidates } = decide(first, problem, (third as string | undefined) ?? 'auto')
    return { problem, choice: chosen?.name, candidates }
  }
  const [q, k, v] = [first, second as Tensor, third as Tensor]
  const tape = routing(
    [
      { tensor: q, parts: ['q'] },
      { tensor: k, parts: ['k'] },
      { tensor: v, parts: ['v'] },
    ],
    options,
  )
  const problem = internally(
    () =>
      normalise({ op: 'explainAttention', caller: explainAttention }, q, k, v, options, gradientsAhead(tape)).problem,
  )
  const { chosen, candidates } = decide(first.device, problem, options.kernel ?? 'auto')
  return { problem, choice: chosen?.name, candidates }
}
