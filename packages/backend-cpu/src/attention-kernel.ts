// Fused attention of this package as a kernel of core: writes one command forward and one backward. What is computed is in
// native/attention.

import {
  ATTENTION_CONTRACT,
  type AttentionContext,
  type AttentionFeature,
  type AttentionGradients,
  type AttentionKernel,
  type AttentionOperands,
  type AttentionProblem,
  type Operand,
} from '@ditkit/core'
import { CpuBackend } from './backend'
import type { Commands } from './commands'
import { COMPUTE, OPCODE } from './opcodes'

const FEATURES: ReadonlySet<AttentionFeature> = new Set([
  'keyMask',
  'queryMask',
  'keyLengths',
  'queryLengths',
  'offsets',
  'mask',
  'bias',
  'factoredBias',
  'causal',
  'dropout',
])
const MAX_WIDTH = 65536
const CAUSAL = { none: 0, 'top-left': 1, 'bottom-right': 2 } as const

function commandsOf(ctx: AttentionContext): Commands {
  if (ctx.backend instanceof CpuBackend) return ctx.backend.commands
  throw new TypeError(`cpu-flash: it runs on the cpu device, not on '${ctx.backend.name}'`)
}

/** What both passes begin with. */
function call(commands: Commands, opcode: number, problem: AttentionProblem, operands: AttentionOperands): Commands {
  return commands
    .begin(opcode)
    .operand(operands.q)
    .operand(operands.k)
    .operand(operands.v)
    .number(problem.scale)
    .number(CAUSAL[problem.causal ?? 'none'])
    .number(problem.dropoutThreshold)
    .number(COMPUTE[problem.computeDtype ?? 'f32'] ?? Number.NaN)
    .optional(operands.keyMask)
    .optional(operands.queryMask)
    .optional(operands.keyLengths)
    .optional(operands.queryLengths)
    .optional(operands.queryOffsets)
    .optional(operands.keyOffsets)
    .optional(operands.mask)
    .optional(operands.bias)
    .optional(operands.factorQuery)
    .optional(operands.factorKey)
    .optional(operands.rngKey)
}

function forward(problem: AttentionProblem, operands: AttentionOperands, ctx: AttentionContext) {
  const commands = commandsOf(ctx)
  const out = ctx.output('out')
  const training = Object.values(problem.gradients).some(Boolean)
  const { 0: rows, 1: queries } = operands.q.shape
  const stats = training ? ctx.empty([rows, problem.heads, queries, 2], 'f32') : undefined
  call(commands, OPCODE.attentionForward, problem, operands).operand(out).optional(stats).submit()
  return { out, saved: stats ? [out, stats] : [] }
}

function backward(
  problem: AttentionProblem,
  operands: AttentionOperands,
  saved: readonly Operand[],
  dOut: Operand,
  ctx: AttentionContext,
): AttentionGradients {
  const commands = commandsOf(ctx)
  const { 0: out, 1: stats } = saved
  const wanted = problem.gradients
  const gradients: AttentionGradients = {
    q: wanted.q ? ctx.output('q') : undefined,
    k: wanted.k ? ctx.output('k') : undefined,
    v: wanted.v ? ctx.output('v') : undefined,
    bias: wanted.bias ? ctx.output('bias') : undefined,
    factorQuery: wanted.factors ? ctx.output('factorQuery') : undefined,
    factorKey: wanted.factors ? ctx.output('factorKey') : undefined,
  }
  call(commands, OPCODE.attentionBackward, problem, operands)
    .operand(out)
    .optional(stats)
    .operand(dOut)
    .optional(gradients.q)
    .optional(gradients.k)
    .optional(gradients.v)
    .optional(gradients.bias)
    .optional(gradients.factorQuery)
    .optional(gradients.factorKey)
    .submit()
  return gradients
}

/**
 * Fused attention on the CPU, f32, forward and backward, with every option of the contract; under `computeDtype: 'bf16'` products round
 * their operands on AMX, unless there is a factored bias, and are those of f32 elsewhere. Rows of packed projections are read and their
 * gradients written in place; besides out it saves a (maximum, sum) pair per row, f32 [B, H, Lq, 2]. Results are bit-identical for any
 * number of threads, and a sample's do not depend on the rest of the batch (the gradient of a shared bias or factor aside). `cpu()` has it
 * by default.
 */
export function cpuFlash(): AttentionKernel {
  return {
    name: 'cpu-flash',
    contract: ATTENTION_CONTRACT,
    features: FEATURES,
    supports({ dtype, dim, valueDim, factoredRank = 0 }) {
      if (dtype !== 'f32') return { reason: `it computes in f32, not in ${dtype}` }
      const widest = Math.max(dim, valueDim, factoredRank)
      return widest <= MAX_WIDTH ? true : { reason: `it takes head dims and ranks up to ${MAX_WIDTH}, not ${widest}` }
    },
    forward,
    backward,
  }
}
