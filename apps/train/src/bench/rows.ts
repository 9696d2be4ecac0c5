// From measurements to the rows of the table: ratios, what they were to reach, and whether they did.

import type { MemoryRow, Row } from './experiment'
import { bytesOf, flopsOf } from './problem'
import type { Result, SideResult } from './run-experiment'
import { median, ratioOf } from './subject'

/** One line of the table, in text; the figures behind it are for JSON. */
export interface ReportRow {
  readonly work: string
  readonly ours: string
  readonly against: string
  readonly ratio: string
  readonly wanted: string
  /** Undefined where nothing is to be reached, or nothing was measured. */
  readonly met?: boolean
  /** Why something is missing. */
  readonly note?: string
  readonly value?: number
}

export function rowsOf({ experiment, sides }: Result): ReportRow[] {
  const { rows, memory = [], accuracy } = experiment
  return [
    ...rows.map(row => comparison(row, sides[row.ours], row.against === undefined ? undefined : sides[row.against])),
    ...memory.map(row => memoryRow(row, sides[row.side], row.against === undefined ? undefined : sides[row.against])),
    ...(accuracy ? [accuracyRow(rows[0].work.split(',')[0], Object.values(sides))] : []),
  ]
}

function comparison(row: Row, ours: SideResult, against: SideResult | undefined): ReportRow {
  const texts = {
    work: row.work,
    ours: sideText(ours),
    against: against ? againstText(row, against) : '',
    ratio: '',
    wanted: wantedText(row),
  }
  const note = ours.failure ?? against?.failure
  if (note !== undefined) return { ...texts, note }
  if (!against) return texts
  const value = row.atMost === undefined ? ratioOf(against, ours) : ratioOf(ours, against)
  const met =
    row.atLeast !== undefined ? value >= row.atLeast : row.atMost !== undefined ? value <= row.atMost : undefined
  return { ...texts, ratio: ratioText(row, value), value, ...(met !== undefined && { met }) }
}

function memoryRow(row: MemoryRow, ours: SideResult, against: SideResult | undefined): ReportRow {
  const bytes = ours.workingBytes
  const met = bytes !== undefined && row.atMostMB !== undefined ? bytes <= row.atMostMB * 1e6 : undefined
  const note = bytes === undefined ? (ours.failure ?? 'the memory was not measured') : undefined
  return {
    work: row.work,
    ours: megabytes(bytes),
    against: against?.workingBytes === undefined ? '' : `${against.name}: ${megabytes(against.workingBytes)}`,
    ratio: '',
    wanted: row.atMostMB === undefined ? '' : `< ${row.atMostMB} MB`,
    ...(bytes !== undefined && { value: bytes }),
    ...(met !== undefined && { met }),
    ...(note !== undefined && { note }),
  }
}

/** ditkit's error with each instruction set, beside every peer's: that nobody need suspect reduced precision. */
function accuracyRow(work: string, sides: readonly SideResult[]): ReportRow {
  const known = sides.filter(({ accuracy }) => accuracy !== undefined)
  const texts = (own: boolean) => {
    const chosen = known.filter(({ side }) => (side.by === 'ditkit') === own)
    const labelled = chosen.map(({ name, side, accuracy }) => `${own ? side.isa : name} ${accuracy?.toExponential(1)}`)
    return [...new Set(labelled)].join(', ')
  }
  return {
    work: `${work}: largest error against float64, of the largest entry`,
    ours: texts(true),
    against: texts(false),
    ratio: '',
    wanted: '',
  }
}

function sideText({ seconds, problem }: SideResult): string {
  if (seconds.length === 0) return ''
  const time = median(seconds)
  const flops = flopsOf(problem)
  const bytes = bytesOf(problem)
  if (flops !== undefined) return `${timeText(time)} (${(flops / time / 1e9).toFixed(0)} GFLOP/s)`
  // Small ops cost their call, not their bytes.
  if (bytes !== undefined && bytes > 1e6) return `${timeText(time)} (${(bytes / time / 1e9).toFixed(0)} GB/s)`
  return timeText(time)
}

function againstText(row: Row, against: SideResult): string {
  const name = against.side.by === 'ditkit' ? `ditkit, ${row.against}` : against.name
  const figure = sideText(against)
  return figure ? `${name}: ${figure}` : name
}

function ratioText(row: Row, value: number): string {
  return row.percent ? `${(100 * value).toFixed(0)} %` : `${value.toFixed(2)}${row.atMost === undefined ? ' ×' : ''}`
}

function wantedText({ atLeast, atMost, percent }: Row): string {
  if (atLeast !== undefined) return percent ? `${(100 * atLeast).toFixed(0)} %` : `${atLeast} ×`
  return atMost === undefined ? '' : `≤ ${atMost}`
}

function timeText(seconds: number): string {
  if (seconds >= 1) return `${seconds.toFixed(2)} s`
  if (seconds >= 1e-3) return `${(seconds * 1e3).toPrecision(3)} ms`
  return `${(seconds * 1e6).toPrecision(3)} µs`
}

function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? '' : `${(bytes / 1e6).toFixed(0)} MB`
}
