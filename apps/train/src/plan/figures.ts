// Sums over a dry run: what memory was held for when most of it was in use, and what was computed.

import type { LedgerBlock, MemoryLedger, Work } from '@ditkit/backend-cpu'

const COMPONENTS = [
  'weights',
  'gradients',
  'optimizer state',
  'averaged weights',
  'saved activations',
  'temporaries',
  'data',
] as const
export type Component = (typeof COMPONENTS)[number]
/** Bytes; in the order of the list. */
export type Components = Readonly<Record<Component, number>>

export interface Operations {
  /** Linear layers and other matrix products, those of attention left out. */
  readonly matmul: number
  /** The matrix products of attention. */
  readonly attention: number
  readonly other: number
}

/** What the most memory in use in `phases` was held for. */
export function componentsOf(
  ledger: MemoryLedger,
  phases: readonly string[],
  forwardEnds: readonly number[],
): Components {
  const peaks = phases.map(phase => ledger.peaks.get(phase)).filter(peak => peak !== undefined)
  const peak = peaks.reduce((highest, other) => (other.bytes > highest.bytes ? other : highest))
  const sums = Object.fromEntries(COMPONENTS.map(name => [name, 0])) as Record<Component, number>
  for (const block of ledger.blocksAt(peak.time)) sums[componentOf(block, forwardEnds)] += block.bytes
  return sums
}

function componentOf(block: LedgerBlock, forwardEnds: readonly number[]): Component {
  const known = COMPONENTS.find(name => name === block.role)
  if (known) return known
  if (block.drawn) return 'data'
  if (block.phase !== 'forward') return 'temporaries'
  // What outlives the forward pass it was made in is kept for the backward pass.
  const end = forwardEnds.find(time => time >= block.born) ?? Number.POSITIVE_INFINITY
  return block.freed > end ? 'saved activations' : 'temporaries'
}

export function operationsOf(work: readonly Work[], phases: readonly string[]): Operations {
  const sum = { matmul: 0, attention: 0, other: 0 }
  for (const { phase, kind, operations } of work)
    if (phases.includes(phase)) sum[kind === 'matmul' || kind === 'attention' ? kind : 'other'] += operations
  return sum
}

export const totalOperations = ({ matmul, attention, other }: Operations) => matmul + attention + other
