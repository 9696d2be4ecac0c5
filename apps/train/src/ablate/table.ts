// The table of an ablation: means over seeds with their standard deviations, as JSON, as Markdown, and printed.

import { SCORES } from '../detect/score'

/** Of one trained model. */
export interface AblatedRun {
  readonly seed: number
  /** Scores of the averaged weights on held-out scenes, and what the last step logged of the bias. */
  readonly figures: Readonly<Record<string, number>>
}

export interface AblatedVariant {
  readonly name: string
  readonly overrides: readonly string[]
  readonly runs: readonly AblatedRun[]
  readonly mean: Readonly<Record<string, number>>
  /** Of the seeds, with n − 1; 0 for one seed. */
  readonly deviation: Readonly<Record<string, number>>
}

const COLUMNS = [...SCORES, 'bias_scale', 'lidar_weight', 'camera_weight'] as const
const PERCENT: readonly string[] = SCORES.slice(0, 3)

export function summarizeVariant(
  name: string,
  overrides: readonly string[],
  runs: readonly AblatedRun[],
): AblatedVariant {
  const names = Object.keys(runs[0].figures)
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length
  const of = (figure: string) => runs.map(({ figures }) => figures[figure])
  const deviation = (values: readonly number[]) => {
    const middle = mean(values)
    const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0)
    return Math.sqrt(squares / Math.max(1, values.length - 1))
  }
  return {
    name,
    overrides,
    runs,
    mean: Object.fromEntries(names.map(figure => [figure, mean(of(figure))])),
    deviation: Object.fromEntries(names.map(figure => [figure, deviation(of(figure))])),
  }
}

/** One row per variant. */
export function markdownTable(variants: readonly AblatedVariant[]): string {
  const rows = variants.map(variant => [variant.name, ...COLUMNS.map(column => cell(variant, column))])
  const header = [
    'variant',
    ...COLUMNS.map(name => (name === 'centre_error' ? 'centre error' : name.replace('_', ' '))),
  ]
  const lines = [header, header.map((_, i) => (i === 0 ? '---' : '---:')), ...rows]
  return lines.map(line => `| ${line.join(' | ')} |\n`).join('')
}

function cell({ mean, deviation }: AblatedVariant, column: string): string {
  const value = mean[column]
  if (value === undefined) return ''
  const spread = deviation[column]
  if (PERCENT.includes(column)) return `${(100 * value).toFixed(1)} ± ${(100 * spread).toFixed(1)} %`
  if (column === 'centre_error') return `${(100 * value).toFixed(1)} ± ${(100 * spread).toFixed(1)} cm`
  return `${value.toFixed(3)} ± ${spread.toFixed(3)}`
}
