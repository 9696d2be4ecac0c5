// A plan for people.

import { type Operations, totalOperations } from './figures'
import { showBytes } from './memory-size'
import type { Plan } from './plan'
import type { Prediction } from './predict'

export function printPlan(plan: Plan): void {
  const { prediction, memory, alternatives } = plan
  const { batch, microBatch } = plan
  const micro = microBatch === batch ? '' : ` in micro-batches of ${microBatch}`
  console.log(`${plan.recipe}: ${showCount(prediction.parameters)} weights, batch ${batch}${micro}, on the CPU\n`)
  printMemory(prediction)
  printOperations(prediction)
  const { available, needed, fits } = memory
  console.log(
    fits
      ? `\nIt fits: at least ${showBytes(needed)} of ${showBytes(available)} are needed.`
      : `\nIT DOES NOT FIT: at least ${showBytes(needed)} are needed, and there are ${showBytes(available)}.`,
  )
  printAlternatives(plan)
  const fitting = alternatives.find(other => other.fits)
  if (!fits && fitting) console.log(`\nThe first that fits: ${fitting.overrides.join(' ')}`)
  if (!fits && !fitting)
    console.log('\nNone of these fits: take a smaller batch or model, or a machine with more memory.')
}

function printMemory({ peak, peaks, components, process }: Prediction): void {
  line('Peak of tensors', showBytes(peak))
  line('  training step', showBytes(peaks.step))
  for (const [name, bytes] of Object.entries(components))
    line(`    ${name}`, showBytes(bytes), `${((100 * bytes) / peaks.step).toFixed(0).padStart(3)} %`)
  if (peaks.validation > 0) line('  validation', showBytes(peaks.validation))
  line('  drawing at the end', showBytes(peaks.drawing))
  line('Whole process, about', showBytes(process.tensors + process.checkpoint + process.dataset + process.program))
  line(
    '  tensors',
    showBytes(process.tensors),
    `with what is kept for reuse; ${showBytes(process.leastTensors)} at least`,
  )
  line('  data set', showBytes(process.dataset))
  line('  copies for a checkpoint', showBytes(process.checkpoint))
  line('  program', showBytes(process.program))
}

function printOperations({ operations, bytesMoved }: Prediction): void {
  console.log()
  line('Arithmetic per step', showOperations(stepOperations(operations)))
  for (const [name, part] of Object.entries(operations)) {
    const { matmul, attention } = part
    const detail = matmul > 0 ? `${showOperations(matmul)} matrix products, ${showOperations(attention)} attention` : ''
    line(`  ${name}`, showOperations(totalOperations(part)), detail)
  }
  line('Memory traffic per step', showBytes(bytesMoved), 'when each operand passes once')
}

function printAlternatives({ prediction, alternatives }: Plan): void {
  const row = (what: string, columns: readonly string[], note = '') =>
    console.log(`${what.padEnd(42)}${columns.map(column => column.padStart(11)).join('')}  ${note}`.trimEnd())
  console.log()
  row('What would free memory', ['step', 'frees', 'whole run', 'frees', 'arithmetic'])
  for (const { overrides, prediction: other, fits } of alternatives) {
    const work = stepOperations(other.operations) / stepOperations(prediction.operations)
    const [step, all] = [other.peaks.step, other.peak]
    const figures = [step, prediction.peaks.step - step, all, prediction.peak - all].map(showBytes)
    row(`  ${overrides.join(' ')}`, [...figures, `x ${work.toFixed(2)}`], fits ? '' : 'does not fit')
  }
  console.log('  Attention keeps two numbers per row and nothing of size Lq x Lk: it has no chunk size to choose.')
}

const stepOperations = (parts: Prediction['operations']) =>
  Object.values(parts).reduce((sum: number, part: Operations) => sum + totalOperations(part), 0)

function line(what: string, figure: string, note = ''): void {
  console.log(`${what.padEnd(28)}${figure.padStart(12)}  ${note}`.trimEnd())
}

const showCount = (count: number) => (count >= 1e6 ? `${(count / 1e6).toFixed(1)} M` : `${(count / 1e3).toFixed(0)} k`)

function showOperations(count: number): string {
  if (count >= 1e12) return `${(count / 1e12).toPrecision(3)} TFLOP`
  return count >= 1e9 ? `${(count / 1e9).toPrecision(3)} GFLOP` : `${(count / 1e6).toPrecision(3)} MFLOP`
}
